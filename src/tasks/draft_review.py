"""The review file of drafted questions: a table for a spreadsheet, written, mended, read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import TaskError, did_you_mean
from ..files import csv_text, unquoted, write_text
from ..measure.record import Bill
from ..values import Value, digest
from .drafts import BAR, Draft, draft_id, reasons
from .examples import SHARES, ExampleReader, split_examples
from .folder import TREE
from .overlap import first_of_its_kind
from .tables import read_csv_rows
from .task import Example, Split

DRAFT_FILE = "draft.csv"
DRAFT_REPORT = "draft.json"
COLUMNS = ("keep", "question", "answer", "evidence", "passage", "kind", "id", "family")
NEEDED = COLUMNS[:4]
KEEP = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}
_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_BYTE_ORDER_MARK = "\ufeff"


class Review(Value):
    """What a person made of the drafts: the questions that are kept, the family of each by its id,
    and how many rows were mended, written anew or dropped."""

    examples: tuple[Example, ...]
    families: dict[str, str]
    mended: int
    added: int
    dropped: int

    def sentences(self) -> tuple[str, ...]:
        """What was found, for a person."""
        told = f"{len(self.examples)} kept, {self.mended} of them mended and {self.added} added"
        found = f"{DRAFT_FILE}: {told}; {self.dropped} dropped."
        if self.mended or self.added or self.dropped:
            return (found,)
        return (
            found,
            "Nothing in it was changed. Unreviewed drafts make a weak test: some are wrong or odd, "
            "and all are put as a model puts them, not as people ask.",
        )


class DraftReport(Value):
    """What was drafted, by which model, why not more, and what it cost.

    `bill` is what led to the drafts, over all attempts where earlier ones were stopped; `lost` is
    what those spent beside. `asked` replies were read about `passages`; `dropped` counts those
    that were of no use, by reason.
    """

    folder: str
    made: tuple[str, ...] = (DRAFT_FILE, DRAFT_REPORT)
    wanted: int
    kept: int
    from_hierarchy: int
    documents: int
    passages: int
    asked: int
    dropped: dict[str, int]
    stopped_by: str
    model: str | None
    revision: str | None
    seed: int
    attempts: int
    bill: Bill
    lost: Bill
    emissions_g: float | None
    created_at: str

    def sentences(self) -> tuple[str, ...]:
        """The report for a person."""
        energy = "energy not measured"
        if self.bill.energy_j is not None:
            energy = f"{self.bill.energy_j:,.0f} J"
        grams = "" if self.emissions_g is None else f", {self.emissions_g:.3g} gCO2e"
        runs = f", over {self.attempts} attempts" if self.attempts > 1 else ""
        told = [
            f"{self.kept} questions drafted in {self.bill.duration_s:,.0f} s, {energy}{grams}"
            f"{runs}: {self.kept - self.from_hierarchy} of {self.asked} replies about "
            f"{self.passages} passages, {self.from_hierarchy} from the hierarchy"
        ]
        if self.dropped:
            told.append(f"dropped: {reasons(self.dropped)}")
        if self.kept < self.wanted:
            told.append(f"{self.kept} of {self.wanted}, and no more: {self.stopped_by}")
        return tuple(told)


def write_drafts(path: Path, drafts: Sequence[Draft]) -> None:
    """Write the review file, each draft on one line, so that row and line have the same number.

    It opens with a byte order mark, or spreadsheets would misread accents. No cell begins as a
    formula does: such text has an apostrophe before it, which `read_drafts` takes away.
    """
    rows = []
    for one in drafts:
        cells = (
            "yes", one.question, BAR.join(one.answers), one.evidence, one.passage, one.kind, one.id,
            one.family,
        )  # fmt: skip
        rows.append(dict(zip(COLUMNS, (" ".join(cell.split()) for cell in cells), strict=True)))
    write_text(path, _BYTE_ORDER_MARK + csv_text(COLUMNS, rows))


def read_drafts(path: Path, reader: ExampleReader) -> Review:
    """The rows of a review file whose `keep` is yes; what is wrong in one is noted with its line.

    Needed are the columns keep, question, answer and evidence; the last may be empty, and so may
    keep in a row that somebody added. Several answers stand between bars. Raises `TaskError` where
    a column is missing.
    """
    examples: list[Example] = []
    families: dict[str, str] = {}
    mended = added = dropped = 0
    for place, cells in read_csv_rows(path, reader.faults, header_such_as=",".join(NEEDED)):
        for name in NEEDED:
            if name not in cells:
                raise TaskError(f'{path}: no column "{name}"{did_you_mean(name, cells)}')
        row = {name: unquoted(cell.strip()) for name, cell in cells.items()}
        own = not row.get("id") and not row["keep"]  # written by the reviewer: to be kept
        keep = own or KEEP.get(row["keep"].lower())
        if keep is None:
            reader.faults.add(f'{place}: keep is "{row["keep"]}"; yes or no is expected')
        if not keep:
            dropped += keep is False
            continue
        example = reader.read(_fields(row), place)
        if example is None:
            continue
        examples.append(example)
        families[example.id] = row.get("family") or next(iter(example.evidence), "")
        if not row.get("id"):
            added += 1
        elif row["id"] != draft_id(example.question, example.answers):
            mended += 1
    if not examples and not len(reader.faults):
        reader.faults.add(f"{path}: no row is kept; write yes under keep where a question is right")
    return Review(
        examples=tuple(examples), families=families, mended=mended, added=added, dropped=dropped
    )


def split_by_family(
    kept: Sequence[Example], families: Mapping[str, str], shares: Sequence[float] = SHARES
) -> tuple[dict[Split, tuple[Example, ...]], tuple[str, ...]]:
    """Train, validation and test, such that no family is in two of them; and notes on it. The
    family of an example stands in `families` by its id; where there is none it is one by itself.

    Questions from documents and those from the hierarchy are divided apart, so that each split has
    both. The largest family first, each goes to the split that lacks the most questions of its
    share. Families with equal or nearly equal questions go together. Where there is one family
    alone, its questions are divided one by one (`split_examples`), which a note tells.
    """
    named = [one.model_copy(update={"group": families.get(one.id) or one.id}) for one in kept]
    together: dict[str, list[Example]] = {}
    for first, one in zip(first_of_its_kind(named), kept, strict=True):
        together.setdefault(first.id, []).append(one)
    chosen: dict[str, Split] = {}
    notes: list[str] = []
    for of_tree, source in ((False, "one document"), (True, "one branch of the hierarchy")):
        found = [one for one in together.values() if (TREE in one[0].evidence) == of_tree]
        if len(found) == 1:
            chosen |= _places(split_examples(found[0], shares))
            notes.append(
                f"All {len(found[0])} questions from {source} had to be divided one by one: what "
                "is trained may tell what is tested. More documents would mend that."
            )
        elif found:
            chosen |= _places(_divided(found, shares))
    splits: dict[Split, tuple[Example, ...]] = {
        split: tuple(one for one in kept if chosen[one.id] == split) for split in _SPLITS
    }
    return splits, tuple(notes)


def _divided(
    families: list[list[Example]], shares: Sequence[float]
) -> dict[Split, tuple[Example, ...]]:
    """Two families or more, none of them parted; the first two go to training and to the test."""
    count = sum(map(len, families))
    lacks = {split: share * count for split, share in zip(_SPLITS, shares, strict=True)}
    splits: dict[Split, tuple[Example, ...]] = dict.fromkeys(_SPLITS, ())
    # By a digest where they are equally large: the order of names would be no chance.
    for family in sorted(families, key=lambda one: (-len(one), digest(one[0].id))):
        split = max(_SPLITS, key=lambda name: lacks[name])
        splits[split] += tuple(family)
        lacks[split] -= len(family)
    return splits


def _places(splits: Mapping[Split, tuple[Example, ...]]) -> dict[str, Split]:
    return {one.id: split for split, examples in splits.items() for one in examples}


def _fields(row: Mapping[str, str]) -> dict[str, object]:
    """A row as `ExampleReader` takes it; what is empty is left out."""
    fields: dict[str, object] = {key: row.get(key) or None for key in ("id", "question", "kind")}
    fields["answers"] = [text for text in row["answer"].split(BAR) if text.strip()]
    fields["evidence"] = [row["evidence"]] if row["evidence"] else None
    return fields
