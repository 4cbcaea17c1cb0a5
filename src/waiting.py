"""Waiting for the greenest start: looks at the forecast now and then, and lets go in time.

    asked ──▶ waits, looks again every half an hour ──▶ begins ──▶ the run ──▶ done
      │                      │                             │
      └─ kept in the cache: the same command goes on waiting, or with what was begun

It goes by the clock on the wall, so that a laptop may sleep, and holds no lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, ValidationError

from .errors import ConstraintNotMet, InputError
from .files import cache_folder, read_text, write_text
from .greenest import Expected, When, clock, greenest, places_of
from .job import jobs_of
from .measure.store import find_record
from .ranks import PATIENT, joined
from .recipe import Recipe
from .rehearsal import refusal
from .values import Value, digest

LOOK_EVERY = timedelta(minutes=30)
"""Between two looks at a forecast: Great Britain's is made anew every half an hour."""
NAP_S = 5.0
"""The longest sleep: a laptop that was closed finds out so long after it is opened."""
WAITED = "waited"
"""Begins the flag of a record whose run waited for its start."""


class Waited(Value):
    """One wait, kept until its run is done. `chosen` is the start that was chosen last; `flag` is
    for the records, empty where nothing was waited for."""

    asked_at: AwareDatetime
    latest: AwareDatetime
    g_per_kwh_at_once: float | None = None
    chosen: AwareDatetime | None = None
    began_at: AwareDatetime | None = None
    flag: str = ""


Progress = Callable[[str, int, int], None]
Say = Callable[[str], None]


@contextmanager
def greenest_start(
    recipe: Recipe,
    folder: Path,
    within_s: float | None,
    expected: Callable[[], Expected],
    *,
    progress: Progress,
    say: Say,
    allow_overlap: bool = False,
) -> Iterator[tuple[str, ...]]:
    """Wait for the start with the least carbon within `within_s` seconds, then do what is within;
    where that is None, at once.

    Gives the flags for the records that are made there. Where all runs of the recipe have their
    record in `folder`, or are sure to fail, there is nothing to wait for. When the block ends
    without an error the wait is forgotten; until then the same call goes on with it. `expected` is
    asked for only if there is a wait. Of several processes the main one waits.

    Raises `InputError` for a grid without a forecast, `ConstraintNotMet` where no forecast holds a
    whole run: nothing is begun then.
    """
    if within_s is None:
        yield ()
        return
    longest_s: float = within_s
    ranks = joined()
    if ranks.size > 1 and longest_s >= PATIENT.total_seconds():
        raise InputError("several processes wait for one another less than a day: --within 23h")
    kept = digest([str(folder.resolve()), recipe.plain(), longest_s])
    path = cache_folder() / "waits" / f"{kept}.json"

    def wait() -> str:
        jobs = jobs_of(recipe, allow_overlap=allow_overlap)
        if all(find_record(folder, job.name, job.key) or refusal(job) for job in jobs):
            say("nothing is left to run, so there is nothing to wait for")
            return ""
        return wait_for(recipe, path, longest_s, expected, progress=progress, say=say).flag

    flag = ranks.same(wait)
    yield (flag,) if flag else ()
    if ranks.main:
        path.unlink(missing_ok=True)


def wait_for(
    recipe: Recipe,
    path: Path,
    within_s: float,
    expected: Callable[[], Expected],
    *,
    progress: Progress,
    say: Say,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], None] = time.sleep,
) -> Waited:
    """Return when it is time to begin; what is waited for stands in `path` meanwhile and after.

    A wait that is kept there is gone on with: its latest start stays, and what was begun is not
    waited for again. One that has been over for longer than it was to last is none any more. A
    forecast that cannot be had again leaves the last choice as it is.
    """
    asked = now()
    kept = _kept(path, asked - timedelta(seconds=within_s))
    if kept is not None and kept.began_at is not None:
        say(f"begun at {clock(kept.began_at)}: goes on")
        return kept
    wait = kept or Waited(asked_at=asked, latest=asked + timedelta(seconds=within_s))
    chosen: When | None = None
    work: Expected | None = None
    look_at, bar = asked, ""
    while (moment := now()) < wait.latest:
        if moment >= look_at:
            look_at = moment + LOOK_EVERY
            work = work or expected()
            found = _looked(recipe, work, moment, wait.latest, say, first=wait.chosen is None)
            if found is not None:
                if found.best.start != wait.chosen:
                    changes: dict[str, object] = {"chosen": found.best.start}
                    if wait.chosen is None:
                        changes["g_per_kwh_at_once"] = found.now.g_per_kwh if found.now else None
                    wait = wait.model_copy(update=changes)
                    write_text(path, wait.model_dump_json(indent=2) + "\n")
                    say(_plan(found))
                chosen = found
        assert wait.chosen is not None  # the first look has a choice, or raises
        left = (wait.chosen - moment).total_seconds()
        if left <= 0:
            break
        told = f"waiting until {clock(wait.chosen)}, minutes"
        if bar not in ("", told):
            progress(bar, 1, 1)
        bar = told
        whole_s = (wait.chosen - wait.asked_at).total_seconds()
        progress(bar, round((whole_s - left) / 60), max(1, round(whole_s / 60)))
        sleep(min(NAP_S, left))
    if bar:
        progress(bar, 1, 1)
    if kept is not None and now() >= wait.latest:
        say(f"the time to wait was over at {clock(wait.latest)}: starts now")
    began = now()
    wait = wait.model_copy(update={"began_at": began, "flag": _flag(wait, began, chosen)})
    write_text(path, wait.model_dump_json(indent=2) + "\n")
    return wait


def _looked(
    recipe: Recipe,
    work: Expected,
    moment: datetime,
    latest: datetime,
    say: Say,
    *,
    first: bool,
) -> When | None:
    """The choice by the forecast as it is now; None where it cannot be had again."""
    pue = recipe.settings.accounting.pue or 1.0
    try:
        return greenest(places_of(recipe.settings), work, moment, latest, pue)
    except (ConstraintNotMet, InputError) as error:
        if first:
            raise
        say(f"the forecast cannot be had again, the choice stays: {error}")
        return None


def _kept(path: Path, since: datetime) -> Waited | None:
    """The wait that was asked for before, and was not over before `since`; None without one."""
    try:
        kept = Waited.model_validate_json(read_text(path)) if path.is_file() else None
    except ValidationError:
        return None
    return kept if kept is not None and max(kept.latest, kept.began_at or since) >= since else None


def _plan(when: When) -> str:
    grid = f"{when.best.g_per_kwh:.0f} g/kWh"
    if when.best.start <= when.asked_at:
        return f"starts now: no later start emits less ({grid})"
    saves = ""
    if when.saved_percent is not None:
        grams = "" if when.saved_g is None else f" ({when.saved_g:.3g} g)"
        saves = f", {when.saved_percent:.0f} %{grams} less than at once"
    return f"starts at {clock(when.best.start)}: by forecast {grid} over the run{saves}"


def _flag(wait: Waited, began: datetime, when: When | None) -> str:
    """How long was waited, and what that saves by forecast: the intensity of a start at once, when
    it was asked for, against that of the start that was chosen."""
    waited = began - wait.asked_at
    if waited < timedelta(seconds=2 * NAP_S):
        return ""
    text = f"{WAITED}: {waited / timedelta(hours=1):.2f} h for the greenest start"
    before = wait.g_per_kwh_at_once
    if when is None or before is None or began - when.best.start > LOOK_EVERY:
        return f"{text}; what it saves is not known"
    after = when.best.g_per_kwh
    grams = when.grams(before - after)
    saves = "" if grams is None else f", which saves {grams:.3g} g"
    return f"{text}; {after:.1f} instead of {before:.1f} g/kWh by forecast{saves}"
