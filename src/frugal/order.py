"""Which run is cheaper: by what it is expected to take, else by the kind of its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..job import Job
from ..machine import hardware, machine
from ..measure.predicted import kept_prediction, total
from ..measure.record import Record


@dataclass(frozen=True)
class Cost:
    """Joules of a run: of its stages by their keys, for runs may share them; and of the rest,
    loading and answering."""

    rest: float
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def joules(self) -> float:
        """All of it."""
        return self.rest + sum(self.stages.values())


Expected = Callable[[Job], Cost | None]
"""What preparing, loading and answering all questions of a run takes; None where nothing tells."""

KINDS = {
    "classical": 0,  # no language model at all
    "prompt": 1,
    "self_consistency": 1,
    "long_context": 1,
    "tree_rag": 2,  # what is prepared is an index
    "rag": 2,
    "swap_passages": 2,
    "langchain_rag": 2,
    "prompt_search": 3,  # the model is asked, or its weights are rewritten, but not trained
    "summary_tree": 3,
    "quantize": 3,
    "prune": 3,
    "merge": 3,
    "lora": 4,  # a part of the weights is trained
    "peft": 4,
    "full_fine_tuning": 5,
    "continued_pretraining": 6,
    "from_scratch": 7,
}
"""The kinds of steps by what preparing one takes as a rule; what stands alike is in the recipe's
order. Of the records of the quickstart and of benchmarks/tuned-*.yaml, orders of magnitude: 3 J to
fit a classifier, 0 for a prompt, 100 J for an index, 5,000 J for an adapter, 6,000 J for all
weights."""
ASKED_AS_IT_IS = KINDS["prompt"]


def cheapest_first(jobs: Sequence[Job], expected: Expected) -> list[Job]:
    """The jobs by their expected joules; where those of any are unknown, by their kinds."""
    costs = {job.key: expected(job) for job in jobs}
    known = {key: cost.joules for key, cost in costs.items() if cost is not None}
    if len(known) == len(costs):
        return sorted(jobs, key=lambda job: known[job.key])
    return sorted(jobs, key=lambda job: by_kind([step.type for step in job.strategies]))


def by_kind(steps: Iterable[str]) -> tuple[int, ...]:
    """A key to sort runs by: the dearest kind of their steps, then the next one, and so on."""
    kinds = [KINDS[step] for step in steps]
    model = [] if KINDS["classical"] in kinds else [ASKED_AS_IT_IS]
    return tuple(sorted([*kinds, *model], reverse=True))


def expected_cost(job: Job, records: Iterable[Record]) -> Cost | None:
    """What a run took when it was last measured here: the same steps, model, decoding and training
    set, if with another seed or other questions; else what `wattune plan` said of it; None where
    neither tells.

    Answering is scaled to the questions of the job.
    """
    found = [one for one in records if one.status == "done" and _alike(one, job)]
    if not found:
        return planned_cost(job)
    return cost_of(max(found, key=lambda one: one.created_at), len(job.task.split(job.split)))


def planned_cost(job: Job) -> Cost | None:
    """What is likely by the newest plan of a run; None where there is none, or it does not know."""
    plan = kept_prediction(job.key)
    if plan is None:
        return None
    rest = total(plan.phases[name].energy_j for name in ("load", "answer") if name in plan.phases)
    if rest is None or None in plan.stages_j.values():
        return None
    return Cost(rest.likely, {key: j for key, j in plan.stages_j.items() if j is not None})


def cost_of(record: Record, questions: int) -> Cost | None:
    """Joules of a record's stages, and of loading and answering so many questions by its means;
    None where one of them is unknown."""
    load, answer = (
        record.phases[name].energy_j if name in record.phases else None
        for name in ("load", "answer")
    )
    stages = {stage.key: stage.attributed.energy_j for stage in record.stages}
    known = {key: joules for key, joules in stages.items() if joules is not None}
    if load is None or answer is None or not record.answers or len(known) < len(stages):
        return None
    return Cost(load + answer / record.answers * questions, known)


def _alike(record: Record, job: Job) -> bool:
    """Whether a record is of the same run, as far as its cost goes."""
    mine, its = job.recipe or {}, record.recipe
    there, facts = record.environment, record.environment.get("hardware") or {}
    return (
        all(mine.get(key) == its.get(key) for key in ("runs", "model", "task", "decoding"))
        and (mine.get("limit") or {}).get("train") == (its.get("limit") or {}).get("train")
        and there.get("machine", machine()) == machine()
        and all(facts.get(name, fact) == fact for name, fact in hardware().items())
    )


def together_joules(costs: Iterable[Cost | None]) -> float | None:
    """What runs take together, a stage that several share counted once; None where one of them is
    unknown."""
    rest, stages = 0.0, dict[str, float]()
    for cost in costs:
        if cost is None:
            return None
        rest += cost.rest
        stages |= cost.stages
    return rest + sum(stages.values())
