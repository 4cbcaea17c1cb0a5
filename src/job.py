"""Job: one run of a recipe, resolved into values; everything that determines its Record."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import TaskError
from .loading import load_system
from .machine import hardware, machine, software
from .measure.environment import code_digest
from .measure.general import HowMany, general_questions, set_digest
from .measure.quality import check_metrics, scorer_digest
from .measure.record import SCHEMA_VERSION
from .models.facts import facts_of
from .prompt_file import decoded
from .recipe import Recipe, Settings
from .slices import limited, limited_revision
from .strategies import Strategy
from .system import Decoding, LocalSystem, System
from .tasks.load import load_task
from .tasks.overlap import check_overlap, near_overlap
from .tasks.revision import revised
from .tasks.task import REFUSAL, Split, Task
from .values import digest

OVERLAP_ALLOWED = "overlap_allowed"
"""Flag of a record whose test questions stand in training too."""


@dataclass(frozen=True)
class Job:
    """One run, resolved: all that determines its Record. With a `revision` of the task what was
    prepared is refreshed for it afterwards."""

    name: str
    strategies: tuple[Strategy, ...]
    task: Task
    system: System
    split: Split = "test"
    seed: int = 0
    realtime_questions: int = 20
    general_questions: HowMany = True
    scoring_embedder: str = "minilm"
    revision: Task | None = None
    recipe: dict[str, Any] | None = None
    flags: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Digest of everything that determines the record, so that running again finds it."""
        return digest(
            {
                "schema": SCHEMA_VERSION,
                "strategies": [strategy.identity() for strategy in self.strategies],
                "task": self.task.fingerprint,
                "scorer": self.scorer,
                "system": self.system.identity(),
                "split": self.split,
                "seed": self.seed,
                "realtime_questions": self.realtime_questions,
                "general": self._general,
                "machine": machine(),
                "hardware": hardware(),
                "software": software(),
                "flags": list(self.flags),
                **({"revision": self.revision.fingerprint} if self.revision else {}),
            }
        )

    @property
    def _general(self) -> str:
        """Digest of the general questions that the record may hold; "" where it holds none."""
        if not self.strategies or not isinstance(self.system, LocalSystem):
            return ""
        return set_digest(general_questions(self.general_questions))

    @property
    def scorer(self) -> str:
        """Digest of how answers are scored: figures by another one do not compare."""
        return scorer_digest(self.task.metrics, self.scoring_embedder)


def fingerprints(job: Job, system: System) -> dict[str, str]:
    """Digests of what a record depends on, by name; what a System has not is left out."""
    nearest = [source.plain() for source in system.sources if source.type == "nearest_shots"]
    shots = [shot.plain() for shot in system.shots] + nearest
    indexes = [
        source.plain() for source in system.sources if source.type not in ("shots", "nearest_shots")
    ]
    local = system if isinstance(system, LocalSystem) else None
    adapters = [adapter.key for adapter in local.adapters] if local else []
    found = {
        "task": job.task.fingerprint,
        "items": job.task.part_digest(job.split),
        "scorer": job.scorer,
        "model": system.revision,
        "weights": local.weights.key if local and local.weights else "",
        "adapter": digest(adapters) if adapters else "",
        "prompt": digest([system.prompt.plain(), system.refusal]),
        "decoding": digest(system.decoding.plain()),
        "shots": digest(shots) if shots else "",
        "index": digest(indexes) if indexes else "",
        "code": code_digest(),
    }
    return {name: value for name, value in found.items() if value}


def jobs_of(
    recipe: Recipe, *, allow_overlap: bool = False, say: Callable[[str], None] | None = None
) -> list[Job]:
    """The runs of a recipe, checked and resolved, in the order they are written.

    Raises `TaskError` for test questions that stand in training, unless `allow_overlap`, which
    marks the records.
    """
    return Resolver(allow_overlap=allow_overlap, say=say).jobs(recipe)


class Resolver:
    """Resolves recipes into jobs; a task or a model that several recipes name is loaded once."""

    def __init__(
        self, *, allow_overlap: bool = False, say: Callable[[str], None] | None = None
    ) -> None:
        self._allow_overlap, self._say = allow_overlap, say
        self._tasks: dict[str, tuple[Task, tuple[str, ...]]] = {}
        self._revisions: dict[str, tuple[Task, tuple[str, ...]]] = {}
        self._systems: dict[str, System] = {}

    def task(self, settings: Settings) -> tuple[Task, tuple[str, ...]]:
        """The whole task of a recipe, checked, and the flags of its records."""
        name = digest(settings.plain()["task"])
        if name not in self._tasks:
            source = settings.task
            if isinstance(source, str):
                task = load_task(source)
            else:
                task = load_task(source.source, columns=source.columns)
            self._tasks[name] = task, check_task(task, self._allow_overlap)
            if self._say is not None:
                for note in task.notes:
                    self._say(note)
        return self._tasks[name]

    def revision(self, settings: Settings) -> tuple[Task, tuple[str, ...]]:
        """The whole task after its revision, checked, and the flags of its records."""
        name = digest(settings.plain()["task"])
        if name not in self._revisions:
            task = revision_of(self.task(settings)[0])
            self._revisions[name] = task, check_task(task, self._allow_overlap)
        return self._revisions[name]

    def jobs(self, recipe: Recipe) -> list[Job]:
        """The runs of one recipe, as `jobs_of` gives them; those of the smallest model first."""
        each = recipe.by_model()
        if len(each) > 1:
            each.sort(key=lambda one: parameters_of(self._system(one.settings)) or math.inf)
        return [job for one in each for job in self._jobs(one)]

    def _jobs(self, recipe: Recipe) -> list[Job]:
        settings = recipe.settings
        whole, flags = self.task(settings)
        task, revision = limited(whole, settings.limit, settings.split), None
        if settings.refresh:
            revision, more = self.revision(settings)
            revision = limited_revision(whole, task, revision, settings.limit, settings.split)
            flags = tuple(dict.fromkeys((*flags, *more)))
        loaded = self._system(settings)
        # A saved system keeps of its decoding what the recipe does not give.
        decoding = decoded(loaded.decoding, settings.decoding)
        system = loaded.model_copy(
            update={"refusal": task.refusal or REFUSAL, "decoding": decoding}
        )
        return [
            Job(
                name=name,
                strategies=tuple(strategies),
                task=task,
                system=system,
                split=settings.split,
                seed=seed,
                realtime_questions=settings.realtime_questions,
                general_questions=settings.general_questions,
                scoring_embedder=settings.scoring_embedder,
                revision=revision,
                recipe={**recipe.of_run(name, seed), "decoding": decoding.plain()},
                flags=flags,
            )
            for name, strategies in recipe.runs.items()
            for seed in _seeds(settings, decoding, strategies)
        ]

    def _system(self, settings: Settings) -> System:
        name = digest(settings.plain()["model"])
        if name not in self._systems:
            self._systems[name] = load_system(settings.model, say=self._say)
        return self._systems[name]


def parameters_of(system: System) -> int | None:
    """How many weights the base model has, by its files or the catalogue; None where neither says,
    as of a model behind an endpoint."""
    facts = facts_of(system)
    return facts.parameters if facts else None


def order_of_models(jobs: Sequence[Job]) -> str:
    """In which order the jobs of a recipe with several `models` come, and why, as a sentence."""
    sizes = {job.name.rpartition("@")[2]: parameters_of(job.system) for job in jobs}
    told = [
        f"{n} ({'size unknown' if s is None else f'{s:,} parameters'})" for n, s in sizes.items()
    ]
    return f"models, smallest first: {', '.join(told)}"


def _seeds(
    settings: Settings, decoding: Decoding, strategies: Sequence[Strategy]
) -> tuple[int, ...]:
    """The seeds of a run: all that are asked for where chance decides something, else one."""
    asked = settings.seeds or (settings.seed,)
    chance = decoding.temperature > 0 or any("seed" in s.depends_on() for s in strategies)
    return asked if chance else asked[:1]


def check_task(task: Task, allow_overlap: bool) -> tuple[str, ...]:
    """Flags for the records of a task that can be run.

    Raises `InputError` for an unknown metric and `TaskError` for test questions that stand in
    training, equal or nearly equal, unless `allow_overlap`: then the records are flagged.
    """
    check_metrics(task.metrics)
    equal, near = check_overlap(task), near_overlap(task)
    if not equal and not near:
        return ()
    if allow_overlap:
        return (OVERLAP_ALLOWED,)
    pairs = [f"{a} = {b}" for a, b in equal] + [f"{a} almost = {b}" for a, b in near]
    count = len({test for test, _ in (*equal, *near)})
    raise TaskError(
        f"task {task.name}: {count} test question(s) stand in training too "
        f"({', '.join(pairs[:5])}{', ...' if len(pairs) > 5 else ''}); remove them from one side, "
        "or go on with --allow-overlap, which marks the records"
    )


def revision_of(task: Task) -> Task:
    """The task after its revision; `TaskError` where it has none to refresh for."""
    new = revised(task)
    if new is None:
        raise TaskError(
            f"refresh is asked for and task {task.name} has no later version to refresh for; name "
            "a folder with it as `revision:` in its task.yaml, or leave refresh out"
        )
    return new
