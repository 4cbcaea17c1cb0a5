"""When and where to run: the start, and the place, with the least carbon by forecast.

    Grid of each place ─▶ forecaster ─▶ Forecast ─▶ window now, least window ─▶ Outlook ─▶ When

What a run takes (`Expected`) is given, or known from its last records. Its energy is taken to be
spread evenly over its time, and to be the same in all places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from .errors import ConstraintNotMet, InputError, did_you_mean
from .measure.carbon import J_PER_KWH
from .measure.grid import Grid, IntensityUnavailable, forecaster_of
from .measure.grid.forecast import Window
from .measure.record import Record, StageRecord
from .measure.store import load_records
from .recipe import Recipe, Settings
from .yaml_lines import LineFaults, read_mapping

HERE = "here"
"""What the place of a recipe is called that names none."""
SAME_WORK = ("task", "model", "limit", "split", "decoding", "realtime_questions", "runs")
"""The keys of a resolved recipe that decide how much a run has to do."""


@dataclass(frozen=True)
class Expected:
    """What all runs together will take: seconds, joules (None where unknown), and who says so."""

    duration_s: float
    energy_j: float | None
    source: str


@dataclass(frozen=True)
class Outlook:
    """One place: a run that starts at once, and the one that emits the least, None where the
    forecast does not hold the whole of it; without any forecast `reason` says why. `until` is the
    last start that the forecast tells of, where that is before the latest that was asked for."""

    place: str
    now: Window | None = None
    best: Window | None = None
    source: str = ""
    kind: str = "average"
    reason: str = ""
    until: datetime | None = None


@dataclass(frozen=True)
class When:
    """The choice between starts and places, as of `asked_at` (UTC); `here` is the first place."""

    asked_at: datetime
    latest: datetime
    expected: Expected
    pue: float
    outlooks: tuple[Outlook, ...]
    chosen: Outlook
    best: Window

    @property
    def now(self) -> Window | None:
        """The run that starts at once, here."""
        return self.outlooks[0].now

    @property
    def saved_percent(self) -> float | None:
        """How much less the chosen run emits than one at once, here; None where that is unknown."""
        if self.now is None or not self.now.g_per_kwh:
            return None
        return 100 * (1 - self.best.g_per_kwh / self.now.g_per_kwh)

    @property
    def saved_g(self) -> float | None:
        """The same in grams of CO2e."""
        return None if self.now is None else self.grams(self.now.g_per_kwh - self.best.g_per_kwh)

    def grams(self, g_per_kwh: float) -> float | None:
        """Grams of CO2e of the run at an intensity: energy x PUE x intensity; None where the energy
        is not known."""
        if self.expected.energy_j is None:
            return None
        return self.expected.energy_j * self.pue / J_PER_KWH * g_per_kwh

    def plain(self) -> dict[str, Any]:
        """The choice as JSON types, times in UTC."""
        return {
            "asked_at": self.asked_at.isoformat(timespec="seconds"),
            "latest_start": self.latest.isoformat(timespec="seconds"),
            "duration_s": self.expected.duration_s,
            "energy_j": self.expected.energy_j,
            "expected_by": self.expected.source,
            "pue": self.pue,
            "place": self.chosen.place,
            "start": self.best.start.isoformat(timespec="seconds"),
            "g_per_kwh": self.best.g_per_kwh,
            "emissions_g": self.grams(self.best.g_per_kwh),
            "saved_g": self.saved_g,
            "saved_percent": self.saved_percent,
            "places": [
                {
                    "place": each.place,
                    "now": self._plain(each.now),
                    "best": self._plain(each.best),
                    "known_until": each.until and each.until.isoformat(timespec="seconds"),
                    "kind": each.kind,
                    "source": each.source,
                    "reason": each.reason,
                }
                for each in self.outlooks
            ],
        }

    def _plain(self, window: Window | None) -> dict[str, Any] | None:
        if window is None:
            return None
        return {
            "start": window.start.isoformat(timespec="seconds"),
            "end": window.end.isoformat(timespec="seconds"),
            "g_per_kwh": window.g_per_kwh,
            "emissions_g": self.grams(window.g_per_kwh),
        }


def clock(moment: datetime) -> str:
    """Local time with its offset from UTC, as a person reads it."""
    return moment.astimezone().isoformat(" ", "minutes")


def greenest(
    places: Mapping[str, Grid], expected: Expected, now: datetime, latest: datetime, pue: float = 1
) -> When:
    """The start between `now` and `latest`, and the place, with the least mean intensity.

    Times with a zone; `latest` bounds the start, not the end. Of equal ones the earlier start, then
    the place named first. Asks the providers. Raises `InputError` for a grid without a forecast or
    places of unlike figures, `ConstraintNotMet` where no forecast holds a whole run.
    """
    now, latest = now.astimezone(UTC), latest.astimezone(UTC)
    outlooks = tuple(
        _outlook(place, grid, timedelta(seconds=expected.duration_s), now, latest)
        for place, grid in places.items()
    )
    if len({each.kind for each in outlooks if not each.reason}) > 1:
        kinds = ", ".join(f"{each.place} {each.kind}" for each in outlooks if not each.reason)
        raise InputError(f"average and marginal intensities do not compare: {kinds}")
    found = [(each, each.best) for each in outlooks if each.best is not None]
    if not found:
        reasons = "; ".join(
            f"{each.place}: {each.reason or f'{each.source} does not reach that far'}"
            for each in outlooks
        )
        raise ConstraintNotMet(
            f"no start until {latest:%Y-%m-%d %H:%MZ} has a forecast for the whole run of "
            f"{expected.duration_s / 60:.0f} min ({reasons}); give more time, or a forecast that "
            "reaches further"
        )
    chosen, best = min(found, key=lambda pair: (round(pair[1].g_per_kwh, 6), pair[1].start))
    return When(now, latest, expected, pue, outlooks, chosen, best)


def _outlook(
    place: str, grid: Grid, duration: timedelta, now: datetime, latest: datetime
) -> Outlook:
    try:
        forecaster = forecaster_of(grid)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    try:
        forecast = forecaster.forecast(now, latest + duration)
    except IntensityUnavailable as error:
        return Outlook(place, reason=f"{grid.provider}: {error}")
    until = forecast.intervals[-1].end - duration
    return Outlook(
        place,
        forecast.mean(now, duration),
        forecast.least(now, latest, duration),
        forecast.source,
        forecast.kind,
        until=until if until < latest else None,
    )


def places_of(
    settings: Settings, file: Path | None = None, names: Sequence[str] = ()
) -> dict[str, Grid]:
    """The places to choose from, the recipe's own first, with the grid of each.

    `file` is YAML, a place a key, over the keys of a recipe's `grid`; files in it are looked for
    beside it. `names` are those of it that count, all where there are none. Without a file there is
    the recipe's place only. Raises `InputError` with the line of each fault.
    """
    own = settings.place or HERE
    if file is None:
        if set(names) - {own}:
            raise InputError(
                "--places needs --grid, a YAML file with the grid of each place, such as "
                '"GBR: {provider: uk}"'
            )
        return {own: settings.grid}
    content, lines = read_mapping(file, InputError, what="a mapping of places to their grids")
    faults = LineFaults(str(file), lines)
    grids: dict[str, Grid] = {}
    for place, given in content.items():
        if not isinstance(given, Mapping):
            faults.add((place,), f'"{place}" takes a mapping, such as {{provider: uk}}')
        elif (grid := faults.validate(Grid, given, (place,))) is not None:
            beside = file.parent / (grid.file or "")
            found = grid.file is not None and beside.is_file()
            grids[place] = grid.model_copy(update={"file": str(beside)}) if found else grid
    faults.raise_any(InputError)
    for name in names:
        if name not in grids:
            raise InputError(f'place "{name}" is not in {file}{did_you_mean(name, grids)}')
    chosen = list(dict.fromkeys(names or grids))
    chosen.sort(key=lambda place: place != own)
    if not chosen:
        raise InputError(f"{file}: no place is given")
    return {place: grids[place] for place in chosen}


def expected(
    recipe: Recipe,
    folder: Path,
    duration_s: float | None = None,
    energy_j: float | None = None,
    plan: Callable[[Recipe], tuple[float | None, float | None]] | None = None,
) -> Expected:
    """What a recipe will take: as given, else as its records in `folder` took, else by `plan`, in
    seconds and joules.

    Raises `InputError` where nobody says how long.
    """
    if duration_s is not None and energy_j is not None:
        return Expected(duration_s, energy_j, "as given")
    known = measured(recipe, load_records(folder)) if folder.is_dir() else None
    if known is None and plan is not None:
        planned_s, planned_j = plan(recipe)
        if planned_s is not None:
            known = Expected(planned_s, planned_j, "as planned")
    if duration_s is not None:
        joules = None if known is None else known.energy_j
        source = "" if joules is None or known is None else f"; energy {known.source}"
        return Expected(duration_s, joules, f"time as given{source}")
    if known is None:
        raise InputError(
            f"how long {recipe.name} takes is not known: not all of its runs have a record in "
            f"{folder}; give --duration 40min"
        )
    if energy_j is not None:
        return Expected(known.duration_s, energy_j, f"energy as given; time {known.source}")
    return known


def measured(recipe: Recipe, records: Sequence[Record]) -> Expected | None:
    """What all runs of a recipe took when they last ran; None where one of them has not yet.

    A record counts where its recipe asks for the same work. Stages that its run found prepared
    count too, once, for a run afresh would make them.
    """
    wanted = {
        (run, seed): one.of_run(run, seed)
        for one in recipe.by_model()
        for run in one.runs
        for seed in one.settings.seeds or (one.settings.seed,)
    }
    latest: dict[tuple[str, int], Record] = {}
    for record in sorted(records, key=lambda record: record.created_at):
        run = wanted.get((record.name, record.seed))
        if record.status != "done" or run is None:
            continue
        if all(record.recipe.get(key) == run[key] for key in SAME_WORK):
            latest[record.name, record.seed] = record
    if {name for name, _ in latest} != {name for name, _ in wanted}:
        return None
    taken = list(latest.values())
    made = {stage.key for record in taken for stage in record.stages if not stage.reused}
    found: dict[str, StageRecord] = {
        stage.key: stage for record in taken for stage in record.stages if stage.key not in made
    }
    bills = [
        *(record.spent for record in taken),
        *(stage.attributed for stage in found.values()),
    ]
    joules = [bill.energy_j for bill in bills if bill.energy_j is not None]
    wall = [record.environment.get("wall_s") or record.spent.duration_s for record in taken]
    return Expected(
        sum(wall) + sum(stage.attributed.duration_s for stage in found.values()),
        sum(joules) if len(joules) == len(bills) else None,
        f"as its {len(taken)} last record(s) took",
    )
