"""Which training examples are shown as worked examples, and what answers a training split has."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..errors import CannotRun
from ..models.fetch import resolve
from ..prompt import Shot
from ..rag.index import DECIMALS
from ..rag.shot_index import ShotIndex
from ..system import System
from ..tasks.task import Example
from .base import Context, Part, Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray

Selection = Literal["fixed", "seeded", "balanced", "diverse", "nearest"]
EMBEDDING: tuple[Selection, ...] = ("diverse", "nearest")
"""The rules that need the questions as vectors."""
DRAWING: tuple[Selection, ...] = ("seeded", "balanced")
"""The rules in which the seed decides."""
MOST_CHOICES = 256
"""More answers than that are no classes, and a person would not name them either."""


class IndexShots(Strategy):
    """All training examples as shots that are found by their questions; `prompt` holds this step
    for its selection "nearest". How many are shown belongs to asking, so it is no setting here."""

    reads: ClassVar[frozenset[Part]] = frozenset({"train"})

    type: Literal["shot_index"] = "shot_index"
    embedder: str = "minilm"

    def identity(self) -> dict[str, Any]:
        """As every step's, with the embedder by its weights, wherever they lie."""
        revision = resolve(self.embedder, kind="embedder").revision
        return {**super().identity(), "embedder": revision}

    def warm_up(self, system: System, ctx: Context) -> None:
        """FAISS, and the embedder, whose load is charged to answering."""
        import faiss  # noqa: F401

        ctx.embedder(self.embedder)

    def build(self, system: System, ctx: Context) -> None:
        """Embed and index the training questions."""
        shots = shots_of(ctx.task.train)
        vectors = ctx.embedder(self.embedder).encode_queries([shot.question for shot in shots])
        revision = resolve(self.embedder, kind="embedder").revision
        index = ShotIndex.build(shots, vectors, embedder=self.embedder, revision=revision)
        index.save(ctx.workdir)
        ctx.details["shots"] = len(shots)


def shots_of(examples: Sequence[Example]) -> list[Shot]:
    """Examples as shots, each with its canonical answer; a shot has no place for turns before."""
    alone = [example for example in examples if not example.history]
    return [Shot(id=e.id, question=e.question, answer=e.answers[0]) for e in alone]


def choose_shots(
    train: Sequence[Example], count: int, seed: int, selection: Selection = "balanced"
) -> list[Shot]:
    """`count` examples: the first ones ("fixed"), drawn by the seed ("seeded"), or drawn so that
    each kind has its turn ("balanced")."""
    if selection == "fixed":
        return shots_of(train[:count])
    drawn = random.Random(seed).sample(train, len(train))
    return shots_of((_in_turn(drawn) if selection == "balanced" else drawn)[:count])


def _in_turn(examples: Sequence[Example]) -> list[Example]:
    """One of each kind in turn, the most frequent kind first.

    Where all are of one kind and their first answers repeat (fewer different ones than half the
    examples, as in classification), one of each answer in turn.
    """
    answers = {example.answers[0] for example in examples}
    classes = len({e.kind for e in examples}) == 1 and 2 * len(answers) < len(examples)
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.answers[0] if classes else example.kind, []).append(example)
    turns = [groups[name] for name in sorted(groups, key=lambda name: (-len(groups[name]), name))]
    return [group[turn] for turn in range(len(turns[0])) for group in turns if turn < len(group)]


def farthest_first(vectors: NDArray[Any], count: int) -> list[int]:
    """Rows of `vectors` (n, d) that cover them: first the one nearest to their mean, then always
    the one farthest from all that were taken, by Euclidean distance; of equals the first.

    Gonzalez 1985, "Clustering to minimize the maximum intercluster distance" (Theoretical Computer
    Science 38): the farthest that a row is from a taken one is at most twice what is possible.
    """
    import numpy as np

    rows = vectors.astype(np.float64)

    def squared_distances(point: NDArray[Any]) -> NDArray[Any]:
        # Rounded: the last places of a vector change with the batch it was embedded in.
        squares: NDArray[Any] = ((rows - point) ** 2).sum(axis=1)
        return squares.round(DECIMALS)

    taken = [int(squared_distances(rows.mean(axis=0)).argmin())]
    nearest = squared_distances(rows[taken[0]])
    while len(taken) < count:
        nearest[taken[-1]] = -1  # never again, even where all that are left have distance 0
        taken.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, squared_distances(rows[taken[-1]]))
    return taken


def training_choices(train: Sequence[Example]) -> tuple[str, ...]:
    """The different first answers of the training examples, sorted: the classes of the task.

    Raises `CannotRun` where there are none, more than 256, or where each occurs once.
    """
    answers = sorted({example.answers[0] for example in train})
    if answers and len(answers) <= MOST_CHOICES and len(answers) < len(train):
        return tuple(answers)
    rule = f"at most {MOST_CHOICES}" if len(answers) > MOST_CHOICES else "answers that repeat"
    raise CannotRun(
        f"prompt.choices is train and the {len(train)} training examples have {len(answers)} "
        f"different first answers: that is no classification, which has {rule}; leave "
        "`choices` out, or name them (`choices: [ham, spam]`)"
    )
