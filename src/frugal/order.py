"""Which run is cheaper: by what it is expected to take, else by the kind of its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..job import Job
from ..measure.predicted import kept_prediction, total
from ..measure.record import Record

Expected = Callable[[Job], float | None]
"""Joules of preparing, loading and answering all questions of a run; None where nothing tells."""

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
    joules = {job.key: expected(job) for job in jobs}
    known = {key: value for key, value in joules.items() if value is not None}
    if len(known) == len(joules):
        return sorted(jobs, key=lambda job: known[job.key])
    return sorted(jobs, key=lambda job: by_kind([step.type for step in job.strategies]))


def by_kind(steps: Iterable[str]) -> tuple[int, ...]:
    """A key to sort runs by: the dearest kind of their steps, then the next one, and so on."""
    kinds = [KINDS[step] for step in steps]
    model = [] if KINDS["classical"] in kinds else [ASKED_AS_IT_IS]
    return tuple(sorted([*kinds, *model], reverse=True))


def expected_joules(job: Job, records: Iterable[Record]) -> float | None:
    """What a run took when it was last measured: the same steps, model and training set, if with
    another seed or other questions; else what `wattune plan` said of it; None where neither tells.

    Answering is scaled to the questions of the job.
    """
    found = [one for one in records if one.status == "done" and _alike(one, job)]
    if not found:
        return planned_joules(job)
    return joules_of(max(found, key=lambda one: one.created_at), len(job.task.split(job.split)))


def planned_joules(job: Job) -> float | None:
    """The likely joules of preparing, loading and answering by the newest plan of a run; None where
    there is none, or it does not know."""
    plan = kept_prediction(job.key)
    if plan is None:
        return None
    names = ("prepare", "load", "answer")
    joules = total(phase.energy_j for name, phase in plan.phases.items() if name in names)
    return None if joules is None else joules.likely


def joules_of(record: Record, questions: int) -> float | None:
    """Joules of preparing, loading and answering so many questions, by a record's means; None where
    one of them is unknown."""
    load, answer = (
        record.phases[name].energy_j if name in record.phases else None
        for name in ("load", "answer")
    )
    prepare = record.prepare.energy_j
    if prepare is None or load is None or answer is None or not record.answers:
        return None
    return prepare + load + answer / record.answers * questions


def _alike(record: Record, job: Job) -> bool:
    """Whether a record is of the same run, as far as its cost goes."""
    mine, its = job.recipe or {}, record.recipe
    return all(mine.get(key) == its.get(key) for key in ("runs", "model", "task")) and (
        (mine.get("limit") or {}).get("train") == (its.get("limit") or {}).get("train")
    )


def together_joules(records: Iterable[Record], questions: int) -> float | None:
    """What whole runs take together by `joules_of`, a stage that several share counted once; None
    where one of them is unknown."""
    stages: dict[str, float | None] = {}
    total: float | None = 0.0
    for record in records:
        whole = joules_of(record, questions)
        total = None if total is None or whole is None else total + whole
        for stage in record.stages:
            joules = stage.attributed.energy_j
            if stage.key in stages and total is not None and joules is not None:
                total -= joules
            stages[stage.key] = joules
    return total
