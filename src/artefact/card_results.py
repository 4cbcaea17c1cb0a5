"""What was measured as the hub's results of an evaluation, marked as wattune's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..measure.record import Record, Score

TASK_TYPE = "text-generation"
"""Of the hub's tasks the one that questions with answers in free text belong to."""
MEASURED_BY = "measured_by"
"""Among a metric's `args`: says that a result is ours. (A `source` would need an address.)"""


def named_scores(record: Record) -> dict[str, Score]:
    """The scores that the task asks for; all, where it names none."""
    named = record.task.get("metrics") or list(record.quality)
    return {name: record.quality[name] for name in named if name in record.quality}


def results(record: Record) -> list[Any]:
    """One `huggingface_hub.EvalResult` a metric that the task names: its mean to four digits, with
    the 95 % interval, the number of questions and the record among its `args`."""
    from huggingface_hub import EvalResult

    name = str(record.task.get("name", "task"))
    version = (record.environment.get("software") or {}).get("wattune")
    return [
        EvalResult(
            task_type=TASK_TYPE,
            dataset_type=name,
            dataset_name=name,
            dataset_split=record.task.get("split"),
            metric_type=metric,
            metric_name=spaced(metric),
            metric_value=round(score.value, 4),
            metric_args={
                MEASURED_BY: f"wattune {version}" if version else "wattune",
                "record": record.key,
                "questions": score.n,
                "low": round(score.low, 4),
                "high": round(score.high, 4),
            },
        )
        for metric, score in named_scores(record).items()
    ]


def spaced(name: str) -> str:
    """A name in words."""
    return name.replace("_", " ")
