"""What was trained: the columns of the training bill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import fill
from typing import Any

from ..measure.carbon import J_PER_WH
from ..measure.record import Record, StageRecord
from .figures import Column
from .forgetting import Parts
from .seeds import Row


def trainings(record: Record) -> list[StageRecord]:
    """The stages of a run that trained weights, in their order; those of a reused one too."""
    return [stage for stage in record.stages if stage.details.get("losses")]


def _sum(of: Callable[[StageRecord], float | None]) -> Callable[[Record], float | None]:
    """A figure of all trainings of a run together, None where one does not have it."""

    def value(record: Record) -> float | None:
        found = [of(stage) for stage in trainings(record)]
        known = [figure for figure in found if figure is not None]
        return sum(known) if known and len(known) == len(found) else None

    return value


def _sum_known(of: Callable[[StageRecord], float | None]) -> Callable[[Record], float | None]:
    """A figure that not every training has, of those that have it; None where none does."""

    def value(record: Record) -> float | None:
        known = [figure for stage in trainings(record) if (figure := of(stage)) is not None]
        return sum(known) if known else None

    return value


def _last(name: str) -> Callable[[Record], Any]:
    """A detail of the last training of a run: it made what answers."""
    return lambda record: next((s.details.get(name) for s in reversed(trainings(record))), None)


def _detail(name: str) -> Callable[[Record], float | None]:
    return _sum(lambda stage: stage.details.get(name))


def _wh(stage: StageRecord) -> float | None:
    joules = stage.attributed.energy_j
    return None if joules is None else joules / J_PER_WH


def _tokens_per_s(record: Record) -> float | None:
    tokens = _detail("tokens")(record)
    seconds = _sum(lambda stage: stage.attributed.duration_s)(record)
    return tokens / seconds if tokens is not None and seconds else None


def _lost_wh(stage: StageRecord) -> float | None:
    lost = stage.details.get("lost") or {}
    joules = lost.get("energy_j")
    return None if joules is None else joules / J_PER_WH


TRAINING = (
    Column("steps", "training_steps", _detail("steps"), 0),
    Column("tokens", "training_tokens", _detail("tokens"), 0),
    Column("tokens\nper s", "training_tokens_per_s", _tokens_per_s, 0),
    Column("trained\nparameters", "trainable_parameters", _last("trainable_parameters"), 0),
    Column("final\nloss", "final_loss", _last("final_loss"), 3),
    Column("best valid.\nloss", "best_validation_loss", _last("best_validation_loss"), 3,
           optional=True),
    Column("at\nstep", "best_step", _last("best_step"), 0, optional=True),
    Column("Wh", "training_wh", _sum(_wh), 3),
    Column("lost\nWh", "training_lost_wh", _sum_known(_lost_wh), 3, optional=True),
    Column("GFLOP", "training_gflop",
           _sum(lambda s: None if s.work.flops is None else s.work.flops / 1e9), 1, optional=True),
    Column("s", "training_s", _sum(lambda stage: stage.attributed.duration_s), 0),
    Column("stopped", "training_stopped", _last("stopped")),
)  # fmt: skip
"""The training bill: all trainings of a run together; loss, parameters and why it stopped are of
the last. Energy and seconds are of the whole stage: opening and saving the weights belong to it.
`lost` is what killed attempts had spent beyond their last checkpoint. None of it ranks: losses of
other data or other prompts do not compare."""


LABEL_WIDTH = 28
"""Characters of a line of names, where several runs share a training."""


def training_columns(records: Sequence[Record]) -> list[Column]:
    """The columns that have something to show for these records; none where nothing was trained."""
    if not any(map(trainings, records)):
        return []
    return [c for c in TRAINING if not c.optional or any(c.value(r) is not None for r in records)]


def training_tables(rows: Sequence[Row]) -> list[Parts]:
    """Title, headers and rows of the table of trainings; none where nothing was trained."""
    tuned = _by_training(rows)
    if not tuned:
        return []
    columns = training_columns([record for row in tuned for record in row.records])
    cells = zip(*[column.texts(tuned) for column in columns], strict=True)
    texts = [(row.label, *found) for row, found in zip(tuned, cells, strict=True)]
    return [("Training", ("training", *[column.header for column in columns]), tuple(texts))]


def training_notes(rows: Sequence[Row]) -> list[str]:
    """What the table's columns mean."""
    tuned = _by_training(rows)
    if not tuned:
        return []
    notes = [
        "Training: Wh and s are of the whole stage, opening and saving the weights included. "
        "Losses are in nats a token, the final one is the mean of the last tenth of the steps; "
        "they do not compare where data, prompts, scored tokens or vocabularies differ."
    ]
    records = [record for row in tuned for record in row.records]
    if any(_lost_wh(stage) is not None for record in records for stage in record.stages):
        notes.append(
            "Lost Wh: what killed attempts at a training spent beyond their last checkpoint."
        )
    return notes


def _by_training(rows: Sequence[Row]) -> list[Row]:
    """A row for each training, one that several runs share under all their names; its records
    have no other stage."""
    found: dict[tuple[str, ...], Row] = {}
    for row in rows:
        stages = [trainings(record) for record in row.records]
        for number, alike in enumerate(zip(*stages, strict=False)):
            label = training_name(row.label, stages[0], number)
            key = tuple(stage.key for stage in alike)
            if key in found:
                label = f"{found[key].label}, {label}"
            alone = [
                record.model_copy(update={"stages": (stage,)})
                for record, stage in zip(row.records, alike, strict=True)
            ]
            found[key] = Row(label, tuple(alone))
    return [Row(_lines(row.label), row.records) for row in found.values()]


def _lines(names: str) -> str:
    """Names on several lines, where many runs share a training (rag.k=1,2,4 over one adapter)."""
    return fill(names, LABEL_WIDTH, break_long_words=False, break_on_hyphens=False)


def training_name(run: str, stages: Sequence[StageRecord], number: int) -> str:
    """What a training of a run is called: ``lora`` if it is the only one, else ``both: lora``, with
    a number where it is not the only one of its kind."""
    kinds = [stage.strategy for stage in stages]
    kind = kinds[number]
    which = f" {kinds[: number + 1].count(kind)}" if kinds.count(kind) > 1 else ""
    return f"{run}: {kind}{which}" if len(kinds) > 1 else run
