"""Migration: records of older schemas become records of this one, a version at a time.

What an older schema did not hold becomes None or empty: nobody measured it then. Schema 1 held one
count of tokens, bills and phases in gross joules only, and nothing of baseline, outcomes, scores by
question, work, footprint or money. Schema 2 held the median wait of the questions asked one at a
time, and of both ways of serving what phases and recipe say. Schema 3 asked no general questions.
Schema 4 held no facts of the model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import StorageError
from .record import SCHEMA_VERSION
from .serving import batch_of

Content = dict[str, Any]


def migrate(content: Content) -> Content:
    """A record's JSON object, of any schema up to `SCHEMA_VERSION`, in the present schema.

    `content` is left as it is. Fields are moved, not checked: validation comes after. Raises
    `StorageError` for a schema that a newer wattune has written, or that never was.
    """
    version = content.get("schema_version")
    if type(version) is not int or version < 1:
        raise StorageError(f"record schema {version!r} never was; 1 to {SCHEMA_VERSION} are known")
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"written by a newer wattune (record schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}); a wattune with record schema {version} is needed, "
            "run `pip install -U wattune`"
        )
    content = copy.deepcopy(content)
    for step in range(version, SCHEMA_VERSION):
        STEPS[step](content)
        content["schema_version"] = step + 1
    return content


def _from_1(content: Content) -> None:
    if "tokens" in content:
        content["work"] = {"answer": content.pop("tokens")}
    for settings in (_object(content, "environment"), _object(content, "recipe")):
        if "seed" in settings:
            content["seed"] = settings["seed"]
            break
    # The digests that two records are compared by lay in the task's description.
    task = _object(content, "task")
    names = {"task": "fingerprint", "items": "items"}
    content["fingerprints"] = {new: task[old] for new, old in names.items() if old in task}
    for bill in _bills_of_1(content):
        bill["net_energy_j"] = None
    for phase in _object(content, "phases").values():
        for energy in _object(phase, "components").values():
            if isinstance(energy, dict) and energy.get("energy_j") is None:
                energy["coverage"] = 0.0


def _from_2(content: Content) -> None:
    recipe, phases = _object(content, "recipe"), _object(content, "phases")
    if "latency_questions" in recipe:
        recipe["realtime_questions"] = recipe.pop("latency_questions")
    if "latency" in phases:
        phases["realtime"] = phases.pop("latency")
    answers = _number(content, "answers", int)
    duration_s = _number(_object(phases, "answer"), "duration_s", int, float)
    if answers and duration_s is not None:
        content["batch"] = batch_of(answers, duration_s).plain()
    wait_s = content.pop("latency_s", None)
    if wait_s is not None:
        asked = _number(recipe, "realtime_questions", int)
        questions = min(asked, answers) if asked and answers else None
        energy_j = _number(_object(phases, "realtime"), "energy_j", int, float)
        realtime = {"questions": questions, "latency_p50_s": wait_s}
        if questions and energy_j is not None:
            realtime["energy_j_per_answer"] = energy_j / questions
        content["realtime"] = realtime


def _from_3(content: Content) -> None:
    content["general"] = None


def _from_4(content: Content) -> None:
    content["model"] = None


def _bills_of_1(content: Content) -> Iterator[Content]:
    stages = content.get("stages")
    stages = stages if isinstance(stages, list) else []
    for holder, names in [
        (content, ("prepare", "spent")),
        *((stage, ("spent", "attributed")) for stage in stages),
    ]:
        for name in names:
            if isinstance(holder, dict) and isinstance(holder.get(name), dict):
                yield holder[name]


def _object(content: Any, name: str) -> Content:
    """The object under a name; an empty one where a damaged file has something else there."""
    found = content.get(name) if isinstance(content, dict) else None
    return found if isinstance(found, dict) else {}


def _number(content: Content, name: str, *kinds: type) -> Any:
    """The number under a name; None where it is missing, or of no such kind."""
    found = content.get(name)
    return found if isinstance(found, kinds) else None


STEPS: dict[int, Callable[[Content], None]] = {1: _from_1, 2: _from_2, 3: _from_3, 4: _from_4}
"""Schema -> what turns its content, in place, into the next schema's."""
