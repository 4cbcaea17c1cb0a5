"""What is not known, the most important first, and what would tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..compare.comparability import contention
from ..compare.figures import FEW_QUESTIONS, energy_provenance, quality_columns
from ..compare.floor import reaches
from ..compare.training import trainings
from ..compare.transfer_table import projected_onto
from ..compare.wording import listed, number
from ..measure.record import Record
from ..measure.statistics import questions_needed
from ..models.catalogue import CATALOGUE
from .choice import Choice, Offer
from .constraints import model_of
from .needs import Needs
from .verdict import Gap
from .wording import counted, who

SMALL_PARAMETERS = 1_000_000_000
"""Below a billion, a model is easily led astray by passages (docs/method.md)."""
MEASURED = {"counter", "integrated_power", "provider_reported"}
SEEDS = "seeds=[0,1,2]"


@dataclass(frozen=True)
class Scene:
    """What a decision was made from: all offers, what was taken, and what would be taken if the
    refreshes that were not measured cost nothing. `apart` says what sets its records apart from
    others, empty where there are no others."""

    offers: Sequence[Offer]
    choice: Choice
    if_free: Offer | None
    metric: str
    needs: Needs
    recipe: str
    apart: str = ""

    def again(self, *settings: str) -> str:
        """The command that measures the recipe's runs with these settings."""
        return " ".join(["wattune compare", self.recipe, *settings])

    def who(self, names: Sequence[str]) -> str:
        """Runs in a sentence, by name or by number."""
        return who(names, len(self.offers))

    @property
    def rivals(self) -> list[Offer]:
        """Offers that are, or might be, good enough: what is not known of others is of no use."""
        return [o for o in self.offers if not o.failed and not o.falls_short]


def gaps_of(scene: Scene) -> tuple[Gap, ...]:
    """The gaps in order: what keeps a run from being chosen, what might turn the choice, then what
    makes its figures less sure, then where they end."""
    return (
        *_projected(scene), *_untold(scene), *_refreshes(scene), *_alone(scene),
        *_contended(scene), *_split(scene), *_near_the_floor(scene), *_few_questions(scene),
        *_one_seed(scene), *_modelled(scene), *_model(scene),
    )  # fmt: skip


def _projected(scene: Scene) -> list[Gap]:
    """Costs that were not measured where they are claimed, and quality of another size of model."""
    found = {projected_onto(r): r.projected for r in _records(scene) if r.projected}
    gaps = []
    for target, told in found.items():
        text = f"Energy and time were not measured on {target}: they are projected."
        if told.parameters:
            text += (
                f" Quality is that of {told.of_model}: what another size would answer is not "
                "known, so this says what it would cost, not which one would be good enough."
            )
        gaps.append(Gap(what=text, measure=f"{scene.again()}, on the machine and model it is for"))
    return gaps


def _untold(scene: Scene) -> list[Gap]:
    """Constraints and costs that are not known, each with the runs that are held back by it."""
    names: dict[tuple[str, str], list[str]] = {}
    for offer in scene.rivals:
        for check in offer.untold:
            names.setdefault((check.sentence, check.measure), []).append(offer.name)
        if offer.cost is None:
            for reason in offer.cycle.unknown or ("what it costs is not known",):
                names.setdefault((reason, ""), []).append(offer.name)
    return [
        Gap(what=f"{scene.who(found)}: {what}.", measure=_command(scene, measure))
        for (what, measure), found in names.items()
    ]


def _command(scene: Scene, measure: str) -> str:
    """A setting as the command that uses it; words stay as they are."""
    return scene.again(measure) if "=" in measure and " " not in measure else measure


def _refreshes(scene: Scene) -> list[Gap]:
    names = [o.name for o in scene.rivals if o.assumed]
    if not names:
        return []
    taken = scene.choice.taken
    prepared = [o.name for o in scene.rivals if o.cycle.costs.prepare_j]
    whom = "" if names == prepared else f" for {scene.who(names)}"
    text = (
        f"What an update takes was not measured{whom}: each counts as preparing anew, which is "
        "the dearest way."
    )
    if taken is None or scene.if_free is None:
        pass
    elif scene.if_free.name == taken.name:
        text += f" If updates took nothing, {taken.name} would still be the choice."
    else:
        text += f" If updates took nothing, {scene.if_free.name} would be the choice."
    return [Gap(what=text, measure=scene.again("refresh=true"))]


def _alone(scene: Scene) -> list[Gap]:
    if len(scene.offers) > 1:
        return []
    text = f"{scene.offers[0].name} is the only run, so there is nothing to choose from."
    return [Gap(what=text, measure=scene.again())]


def _contended(scene: Scene) -> list[Gap]:
    names = [o.name for o in scene.rivals if any(contention(r) is not None for r in o.row.records)]
    if not names:
        return []
    text = (
        f"Other programs kept the machine busy while {scene.who(names)} answered: energy and time "
        "are too high, by how much is not known."
    )
    return [Gap(what=text, measure=f"{scene.again()}, into a new folder, on an idle machine")]


def _split(scene: Scene) -> list[Gap]:
    records = _records(scene)
    gaps = []
    splits = {str(r.task.get("split") or "test") for r in records} - {"test"}
    if splits:
        text = f"Quality is of the {listed(sorted(splits))} split, which settings were chosen by."
        gaps.append(Gap(what=text, measure=scene.again("split=test")))
    if any((r.recipe.get("limit") or {}).get("questions") for r in records):
        text = "Only a slice of the questions was asked."
        gaps.append(Gap(what=text, measure=f"{scene.again()}, without --quick or limit"))
    return gaps


def _near_the_floor(scene: Scene) -> list[Gap]:
    """The choice may lie below the floor: how many questions would tell."""
    taken, floor = scene.choice.taken, scene.needs.min_quality
    if taken is None or floor is None or taken.quality is None:
        return []
    if reaches(taken.quality, floor, scene.metric) != "perhaps":
        return []
    apart = abs(taken.quality.value - floor)
    scores = [s for s in taken.row.scores(scene.metric) or () if s is not None]
    text = f"{taken.name} may lie a little on the wrong side of {floor:g}."
    if apart and len(scores) > 1:
        from statistics import stdev

        if spread := stdev(scores):
            # One mean against a fixed figure: the spread is that of the scores themselves.
            needed = questions_needed(apart, spread)
            text += f" Some {number(round(needed, -1))} questions would tell."
    return [Gap(what=text, measure="more test questions in the task")]


def _few_questions(scene: Scene) -> list[Gap]:
    counts = [o.quality.n for o in scene.rivals if o.quality]
    if not counts or min(counts) >= FEW_QUESTIONS:
        return []
    name = quality_columns([scene.metric])[0].plain
    text = f"{name} is over only {counted(min(counts), 'question')}: too few to be sure of."
    return [Gap(what=text, measure=f"at least {FEW_QUESTIONS} test questions in the task")]


def _one_seed(scene: Scene) -> list[Gap]:
    names = [
        o.name for o in scene.rivals
        if len({r.seed for r in o.row.records}) == 1 and any(map(trainings, o.row.records))
    ]  # fmt: skip
    if not names:
        return []
    text = f"{scene.who(names)}: trained once; another seed trains another model."
    return [Gap(what=text, measure=scene.again(SEEDS))]


def _modelled(scene: Scene) -> list[Gap]:
    known = [set(energy_provenance(r).values()) for r in _records(scene) if not r.projected]
    if not any(known):
        return []
    if any("failed" in how for how in known):
        text = "A meter failed: the energies leave a component out."
        return [Gap(what=text, measure=scene.again())]
    if any(how & MEASURED for how in known):
        return []
    text = (
        "Energy is modelled from rated power, load and time, not metered: it orders runs on this "
        "machine, and its level may be wrong."
    )
    return [Gap(what=text, measure=f"{scene.again()} on a machine whose energy counters are open")]


def _model(scene: Scene) -> list[Gap]:
    records = _records(scene)
    asked = {r.projected.of_model if r.projected else model_of(r) for r in records}
    models, tasks = (asked, {str(r.task.get("name")) for r in records})
    sizes = [CATALOGUE[name].parameters for name in models if name in CATALOGUE]
    size = (
        f", of {number(min(sizes) / 1e6)} million parameters,"
        if sizes and min(sizes) < SMALL_PARAMETERS
        else ""
    )
    text = (
        f"All of it was measured with {listed(sorted(models))}{size} on {listed(sorted(tasks))}: "
        "another model or task may turn it."
    )
    return [Gap(what=text, measure=scene.again("model=YOUR_MODEL", "task=YOUR_TASK"))]


def _records(scene: Scene) -> list[Record]:
    return [record for offer in scene.rivals or scene.offers for record in offer.row.records]
