"""What to try first where nothing was measured: rules of the field, with what is published.

A strategy starts at 0; each rule that applies adds its points and its reason, or leaves the
strategy out. Points and thresholds are our judgement: they order what to try, and only measuring
tells which one is best.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..compare.wording import number
from ..durations import PER_YEAR
from ..values import Value
from .evidence import evidence
from .situation import Situation

FEW_EXAMPLES = 32
"""Below, tuning has too little to learn from: the rule of thumb of `wattune init`."""
ENOUGH_EXAMPLES = 300
OFTEN_A_YEAR = PER_YEAR["monthly"]
MANY_ANSWERS_A_DAY = 1000.0
FULL_TUNING_GB = 16.0
"""Memory for full fine-tuning of a small model: below, LoRA is what fits."""

RUNS: Mapping[str, list[Any]] = {
    "zero-shot": ["prompt"],
    "few-shot": [{"prompt": {"shots": 8}}],
    "long-context": ["prompt", "long_context"],
    "rag": ["prompt", "rag"],
    "tree-rag": ["prompt", "tree_rag"],
    "lora": ["prompt", "lora"],
    "t-rag": ["prompt", "lora", "tree_rag"],
    "lora-rag": ["prompt", "lora", "rag"],
    "full": ["prompt", "full_fine_tuning"],
    "classical": ["classical"],
}
"""The runs of a recipe, as steps."""


class Reason(Value):
    """Why: a sentence, and the published finding behind it, empty where there is none at hand."""

    sentence: str
    published: str = ""


class Suggestion(Value):
    """One strategy: the points that order it, and its reasons; left out where `first` is False."""

    strategy: str
    first: bool
    points: int
    reasons: tuple[Reason, ...]


class Proposal(Value):
    """What to try first, in order, and what to leave for later; `turns` say what would change it.

    `recipe` is the YAML to run next, of what to try first.
    """

    situation: Situation
    first: tuple[Suggestion, ...]
    later: tuple[Suggestion, ...]
    turns: tuple[str, ...]
    recipe: str
    next: tuple[str, ...]

    def to_json(self) -> str:
        """All of it."""
        import json

        return json.dumps(self.plain(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """Headings, sentences, and the recipe as a block."""
        from .text import proposal_markdown

        return proposal_markdown(self)

    def show(self) -> None:
        """Print it to the terminal."""
        from .text import show_proposal

        show_proposal(self)


class _Rule(NamedTuple):
    """`points` None leaves the strategy out."""

    strategies: tuple[str, ...]
    points: int | None
    sentence: str
    published: str = ""


RETRIEVAL = ("rag", "tree-rag", "t-rag", "lora-rag")
TUNED = ("lora", "t-rag", "lora-rag", "full")
TREES = ("tree-rag", "t-rag")


def proposed(situation: Situation, most: int = 5) -> Proposal:
    """The strategies for a situation, at most so many to try first."""
    found: dict[str, list[_Rule]] = {name: [] for name in RUNS}
    for rule in _rules(situation):
        for strategy in rule.strategies:
            found[strategy].append(rule)
    known = [_suggestion(name, rules) for name, rules in found.items()]
    ranked = sorted((s for s in known if s.first), key=lambda s: -s.points)
    kept = [s for s in ranked if s.points > 0][:most]
    names = {s.strategy for s in kept}
    later = [_put_off(s, found[s.strategy]) for s in known if s.strategy not in names]
    return Proposal(
        situation=situation,
        first=tuple(kept),
        later=tuple(later),
        turns=tuple(_turns(situation)),
        recipe=recipe_of([s.strategy for s in kept]),
        next=tuple(_next(situation)),
    )


def _suggestion(name: str, rules: list[_Rule]) -> Suggestion:
    out = [rule for rule in rules if rule.points is None]
    points = sum(rule.points or 0 for rule in rules)
    return Suggestion(
        strategy=name, first=not out, points=points, reasons=tuple(map(_reason, out or rules))
    )


def _put_off(suggestion: Suggestion, rules: list[_Rule]) -> Suggestion:
    """A strategy for later: only what speaks against it."""
    against = [rule for rule in rules if rule.points is None or rule.points < 0]
    reasons = tuple(map(_reason, against)) if suggestion.first else suggestion.reasons
    less = Reason(sentence="Less speaks for it here than for those above.")
    return suggestion.model_copy(update={"first": False, "reasons": reasons or (less,)})


def _reason(rule: _Rule) -> Reason:
    published = evidence()[rule.published].sentence() if rule.published else ""
    return Reason(sentence=rule.sentence, published=published)


def _rules(s: Situation) -> Iterator[_Rule]:
    """The rules that apply, what weighs most first."""
    yield _Rule(("zero-shot",), 1, "It costs nothing to prepare: what all others must beat.")
    yield from _by_data(s)
    yield from _by_work(s)
    yield from _by_use(s)
    yield from _by_people(s)


def _by_data(s: Situation) -> Iterator[_Rule]:
    if s.documents == "none":
        yield _Rule((*RETRIEVAL, "long-context"), None, "There are no documents to look into.")
    if s.documents == "many":
        yield _Rule(("long-context",), None, "The documents do not fit in one prompt.")
    if not s.hierarchy:
        yield _Rule(TREES, None, "There is no hierarchy to look up.")
    if s.examples < FEW_EXAMPLES:
        told = f"{s.examples} examples are too few to learn from; {FEW_EXAMPLES} are a beginning."
        yield _Rule((*TUNED, "classical"), None, told)
        if not s.examples:
            yield _Rule(("few-shot",), None, "There is no example to show.")
    if s.work != "labels":
        yield _Rule(("classical",), None, "It gives labels only, and writes no answers.")


def _by_work(s: Situation) -> Iterator[_Rule]:
    if s.work == "facts":
        yield _Rule(("rag",), 6, "Facts of your own are better looked up than learnt.", "new_facts")
        yield _Rule(("tree-rag",), 6, "It looks facts up, and where things stand in the hierarchy.")
        yield _Rule(("t-rag", "lora-rag"), 4, "It looks facts up with a model that has learnt to "
                    "answer as you do; it can also be worse than retrieval alone.",
                    "tuned_and_retrieval")  # fmt: skip
        yield _Rule(("long-context",), 5, "A few documents can be read whole.", "financial_reports")
        yield _Rule(("lora",), 1, "A tuned model learns few new facts.", "unknown_facts")
    elif s.work == "replies":
        yield _Rule(("lora",), 6, "A way to reply is what tuning learns, and prompts need not say "
                    "it any more.", "tuning_then_retrieval")  # fmt: skip
        yield _Rule(("few-shot",), 4, "A few worked examples may be all that a form needs.")
        yield _Rule(("full",), 2, "All weights learn more than an adapter does.", "lora_memory")
    else:
        yield _Rule(("classical",), 8, "Labels may need no language model at all.",
                    "small_classifier")  # fmt: skip
        yield _Rule(("lora",), 4, "Tuning learns which labels there are.")
        yield _Rule(("few-shot",), 3, "A few examples of each label may do.")
    if s.examples:
        yield _Rule(("few-shot",), 1, "Worked examples need no training.")
    if s.examples >= ENOUGH_EXAMPLES:
        told = f"{s.examples:,} examples are enough to tune."
        yield _Rule(("lora", "t-rag", "lora-rag"), 2, told)


def _by_use(s: Situation) -> Iterator[_Rule]:
    if PER_YEAR[s.changes] >= OFTEN_A_YEAR:
        yield _Rule(("rag", "tree-rag", "long-context"), 2, f"Facts change {s.changes}: documents "
                    "are exchanged without training.", "new_facts")  # fmt: skip
        yield _Rule(TUNED, -3, f"Facts change {s.changes}: what was learnt is stale each time.")
    if s.answers_per_day >= MANY_ANSWERS_A_DAY:
        told = f"With {number(s.answers_per_day)} answers a day a training is soon paid back."
        yield _Rule(("lora", "classical"), 2, told, "shots_cost")
        yield _Rule(("rag", "tree-rag", "few-shot"), -1, "Long prompts are paid for with each "
                    "answer.", "long_prompts")  # fmt: skip
        yield _Rule(("long-context",), -3, "Whole documents are paid for with each answer.",
                    "long_prompts")  # fmt: skip
    if s.waiting == "under a second":
        yield _Rule(("long-context",), -3, "A long prompt is long to read.", "long_prompts")
        yield _Rule(("classical", "lora"), 1, "Short prompts are answered soonest.")
    if s.citations:
        yield _Rule((*RETRIEVAL, "long-context"), 3, "An answer can name the passage it is from.")
        yield _Rule(("lora", "full"), -3, "What was learnt by heart has no source to name.")
    if s.wrong_answers == "worse than none" and s.work == "facts":
        yield _Rule(("lora", "full"), -1, "Tuned on facts it does not know, a model invents more.",
                    "unknown_facts")  # fmt: skip


def _by_people(s: Situation) -> Iterator[_Rule]:
    if s.memory_gb is not None and s.memory_gb < FULL_TUNING_GB:
        told = f"{number(s.memory_gb)} GB of memory are little for training all weights."
        yield _Rule(("full",), None, told, "lora_memory")
    if s.expertise:
        yield _Rule(("full",), -1, "LoRA comes as far in less time.", "lora_time")
    else:
        told = "Nobody there has tuned a model: begin with an adapter."
        yield _Rule(("full",), -3, told, "lora_time")


def _turns(s: Situation) -> Iterator[str]:
    """What would change the proposal, from what was answered."""
    if s.examples < ENOUGH_EXAMPLES:
        yield (
            f"With {ENOUGH_EXAMPLES} questions and answers or more, tuning moves up: `wattune init "
            "FOLDER --draft 300` drafts some from documents, for you to review."
        )
    if s.documents == "none":
        yield "With documents that hold the answers, retrieval comes first for facts."
    if PER_YEAR[s.changes] < OFTEN_A_YEAR:
        yield "If facts changed monthly or more often, tuning would move down."
    else:
        yield "If facts hardly changed, tuning would move up."
    if s.answers_per_day < MANY_ANSWERS_A_DAY:
        yield (
            f"From {number(MANY_ANSWERS_A_DAY)} answers a day on, what is dear to prepare and "
            "cheap to ask moves up."
        )
    if s.documents != "none":
        yield f"Retrieval with other settings: {evidence()['retrieval_settings'].sentence()}."
    yield (
        "A larger model: tuning may then hurt retrieval where it helps a small one: "
        f"{evidence()['small_models'].sentence()}."
    )


def recipe_of(strategies: list[str]) -> str:
    """A recipe of these runs as YAML, on the built-in task until yours is put in its place."""
    import yaml

    head = (
        "# Proposed by `wattune advise --ask`, from published findings: nothing was measured yet.\n"
        "# wattune compare proposal.yaml\n\n"
        "task: harbour            # put your own here: a folder made by `wattune init FOLDER`\n"
        "model: smollm2-135m-q4   # small, to try the way; then a name or a folder of your own\n"
        "# place: FRA             # whose grid, for grams of CO2e\n\n"
    )
    runs = {name: RUNS[name] for name in strategies}
    return head + yaml.safe_dump({"runs": runs}, sort_keys=False, default_flow_style=None)


def _next(s: Situation) -> Iterator[str]:
    yield "wattune init FOLDER --questions QUESTIONS.csv"
    yield "in proposal.yaml: `task: FOLDER`, and a model you may use"
    yield "wattune compare proposal.yaml"
    floor = f" --min-quality {s.min_quality:g}" if s.min_quality is not None else ""
    privacy = " --privacy on-premises" if s.privacy == "on-premises" else ""
    often = f" --refresh {s.changes}" if s.changes != "never" else ""
    yield (
        f"wattune advise runs/proposal --answers-per-day {s.answers_per_day:g}"
        f"{floor}{often}{privacy}"
    )
