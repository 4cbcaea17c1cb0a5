"""Drafted questions: replies read and checked, the review file there and back, splits by family."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from wattune.errors import TaskError
from wattune.measure.record import Bill
from wattune.tasks.draft_journal import Journal
from wattune.tasks.draft_review import DRAFT_FILE, read_drafts, split_by_family, write_drafts
from wattune.tasks.drafts import Draft, Kept, fault_of, pair_in, reasons
from wattune.tasks.examples import ExampleReader
from wattune.tasks.faults import Faults
from wattune.tasks.load import load_task
from wattune.tasks.overlap import check_overlap, near_overlap
from wattune.tasks.scaffold import init_task
from wattune.tasks.task import Example

PASSAGE = "Harbour › Fuel\n\nThe fuel dock opens at 6:30 p.m. and is kept by Ada Lund."


@pytest.mark.parametrize(
    ("reply", "pair"),
    [
        ("Answer: 9:30\nQuestion: When does it open?", ("When does it open?", "9:30")),
        ("Question: Who is it?\nAnswer: Ada Lund.", ("Who is it?", "Ada Lund")),
        ("Sure!\n\n**Question 1:** Who is it?\n\n**Answer:**\n *Ada*", ("Who is it?", "Ada")),
        ("1. Q: At which hour does it open.\nA: 5 p.m.", ("At which hour does it open?", "5 p.m.")),
        ('Q1: "Where is it"\nA1: “here”\nQ2: What else?\nA2: no', ("Where is it?", "here")),
        ("Question: Who is it? Answer: Ada", ("Who is it?", "Ada")),
        ("Question: The dock is dry.\nAnswer: dry", ("The dock is dry.", "dry")),
        ("Question: Wo ist\x00 das\ud800 Dock?\nAnswer: hier", ("Wo ist das Dock?", "hier")),
        ("Answer:\nQuestion: Who is it?", None),
        ("The dock opens at six.", None),
        ("", None),
        ("Answer: " * 100_000, None),
    ],
)
def test_a_reply_is_read_strictly_in_what_it_holds_and_not_in_its_layout(
    reply: str, pair: tuple[str, str] | None
) -> None:
    assert pair_in(reply) == pair


@pytest.mark.parametrize(
    ("question", "answer", "fault"),
    [
        ("When does the fuel dock open?", "6:30 p.m.", ""),
        ("Who keeps the fuel dock?", "ada LUND", ""),
        ("The fuel dock is open.", "6:30 p.m.", "no_question"),
        ("Who?", "Ada Lund", "length"),
        (f"Who keeps {'the dock ' * 30}?", "Ada Lund", "length"),
        ("Who keeps the fuel dock?", "Ada " * 40, "length"),
        ("Who is named in the passage?", "Ada Lund", "speaks_of_text"),
        ("What does this short text tell of?", "fuel", "speaks_of_text"),
        ("Who keeps the fuel dock?", "Bo Ek", "not_in_passage"),
        ("Who keeps the fuel dock?", "da Lun", "not_in_passage"),
        ("Who keeps the fuel dock?", "Ada | Lund", "not_in_passage"),
        ("What is the article on salvage called?", "Bo", "speaks_of_text"),
    ],
)
def test_a_question_of_no_use_is_told_from_one_of_use(
    question: str, answer: str, fault: str
) -> None:
    assert fault_of(question, answer, PASSAGE) == fault


def draft(question: str, answer: str = "Ada Lund", document: str = "fuel", **more: str) -> Draft:
    return Draft(question=question, answers=(answer,), evidence=document, passage=PASSAGE, **more)


def test_what_tells_its_answer_or_was_asked_before_is_dropped_and_counted() -> None:
    kept = Kept(["When does the library open?"])
    assert kept.add(
        draft("Who keeps the large fuel dock at the old harbour of the northern river port?")
    )
    assert not kept.add(
        draft("who keeps the large fuel dock, at the old harbour of the northern river port")
    )
    assert not kept.add(
        draft("Who keeps the large fuel docks at the old harbour of the northern river port?")
    )
    assert kept.add(
        draft(
            "Who keeps the large fuel docks at the old harbour of the northern river port?", "Bo Ek"
        )
    )
    assert not kept.add(draft("When does the library open?"))
    assert not kept.add(draft("Where does Ada Lund keep the dock?"))
    kept.drop("unreadable")
    assert kept.dropped == {"known": 3, "tells_answer": 1, "unreadable": 1}
    assert reasons(kept.dropped).startswith("3 asked already; 1 the question tells")
    assert len(kept.drafts) == 2


HOSTILE = ['=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", "'=1", "''+1", "'tis", "a=b", "#1"]


def test_cells_that_a_spreadsheet_would_run_are_harmless_and_come_back_as_they_were(
    tmp_path: Path,
) -> None:
    path = tmp_path / DRAFT_FILE
    drafts = [draft(f"{text} is what, “then”?", text, f"{n}") for n, text in enumerate(HOSTILE)]
    write_drafts(path, drafts)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    faults = Faults()
    review = read_drafts(path, ExampleReader(faults))
    faults.check()
    assert [one.answers for one in review.examples] == [(text,) for text in HOSTILE]
    assert [one.question for one in review.examples] == [one.question for one in drafts]
    assert [one.id for one in review.examples] == [one.id for one in drafts]
    assert (review.mended, review.added, review.dropped) == (0, 0, 0)
    assert "Unreviewed drafts make a weak test" in " ".join(review.sentences())


def write_rows(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["keep,question,answer,evidence,passage,kind,id,family", *rows]))
    return path


def test_broken_rows_are_told_with_their_lines(tmp_path: Path) -> None:
    first = draft("Who keeps the fuel dock?")
    path = write_rows(
        tmp_path / DRAFT_FILE,
        f"yes,{first.question},Ada Lund,fuel,,passage,{first.id},",
        "perhaps,Who?,Ada,fuel,,passage,d-1,",
        "yes,,Ada,fuel,,passage,d-2,",
        "yes,Who rows?,,fuel,,passage,d-3,",
        "no,,,,,,,",
        f"yes,Who else?,Bo,fuel,,passage,{first.id},",
        "yes,too,few",
    )
    (tmp_path / "fuel.md").write_text("# Fuel\n\nAda Lund keeps it.\n")
    with pytest.raises(TaskError) as caught:
        init_task(tmp_path, questions_needed=10)
    told = str(caught.value)
    for line, words in [
        (3, 'keep is "perhaps"; yes or no'),
        (4, "question is missing"),
        (5, "answers is missing"),
        (7, f'the id "{first.id}" is already used'),
        (8, "3 cells where the header has 8"),
    ]:
        assert any(f"draft.csv:{line}: {words}" in fault for fault in told.splitlines()), told
    write_rows(path, "yes,Who rows?,Bo,fule,,passage,d-3,")
    with pytest.raises(TaskError, match=r'draft\.csv:2: evidence "fule" .*did you mean "fuel"'):
        init_task(tmp_path, questions_needed=10)
    write_rows(path, "no,Who rows?,Bo,fuel,,passage,d-3,")
    with pytest.raises(TaskError, match="no row is kept"):
        init_task(tmp_path, questions_needed=10)
    write_rows(path, f"no,{first.question},Ada Lund,fuel,,,{first.id},", ",Who rows?,Bo,fuel,,,,")
    reader = ExampleReader(Faults())
    assert [one.question for one in read_drafts(path, reader).examples] == ["Who rows?"]
    reader.faults.check()
    path.write_text("question,answer\nWho?,Ada\n")
    with pytest.raises(TaskError, match='no column "keep"'):
        init_task(tmp_path, questions_needed=10)
    assert not (tmp_path / "task.yaml").exists()


def test_reviewed_drafts_become_a_task_whose_documents_are_held_apart(tmp_path: Path) -> None:
    folder = tmp_path / "port"
    (folder / "documents").mkdir(parents=True)
    drafts = []
    for n in range(12):
        (folder / "documents" / f"page{n}.md").write_text(f"# Page {n}\n\nIts word is w{n}.\n")
        drafts += [
            draft(f"Which word has page {n} in row {k}?", f"w{n}", f"page{n}") for k in "abc"
        ]
    (folder / "hierarchy.yaml").write_text("name: Port\nchildren: [{name: Quay}, {name: Dock}]\n")
    for name in ("Quay", "Dock"):
        told = {"kind": "tree", "family": name}
        drafts += [
            draft(f"Who of {n} is at the {name}?", f"x{n}", "hierarchy", **told) for n in "ab"
        ]
    write_drafts(folder / DRAFT_FILE, drafts)
    text = (folder / DRAFT_FILE).read_text(encoding="utf-8-sig")
    text = text.replace("yes,Which word has page 0 in row a", "no,Which word has page 0 in row a")
    text = text.replace("Which word has page 1 in row a?,w1", "What is the word of page 1?,w1|W-1")
    text += "yes,Which page is the last?,page 11,page11,,,,\n"
    (folder / DRAFT_FILE).write_text(text.replace(",", ";"), encoding="utf-8-sig")
    report = init_task(folder, questions_needed=10)
    assert report.review == ("draft.csv: 40 kept, 1 of them mended and 1 added; 1 dropped.",)
    task = load_task(folder)
    assert task.hierarchy is not None
    assert not check_overlap(task)
    assert not near_overlap(task)
    places: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        for one in task.split(split):
            family = one.question.split()[-1] if one.evidence == ("hierarchy",) else one.evidence[0]
            places.setdefault(family, set()).add(split)
    assert len(places) == 14
    assert {len(found) for found in places.values()} == {1}
    assert {"hierarchy" in one.evidence for one in task.train} == {True, False}
    assert {"hierarchy" in one.evidence for one in task.test} == {True, False}
    mended = next(
        one for one in (*task.train, *task.validation, *task.test) if "W-1" in one.answers
    )
    assert mended.question == "What is the word of page 1?"
    assert 6 <= len(task.test) <= 15
    assert len(task.train) >= 20
    with pytest.raises(TaskError, match="is a task already"):
        init_task(folder, questions_needed=10)


def test_questions_from_one_document_are_divided_one_by_one_and_told() -> None:
    kept = [
        Example(id=f"{n}", question=f"What is {n} times {n}?", answers=(f"{n * n}",))
        for n in range(40)
    ]
    splits, notes = split_by_family(kept, {one.id: "sums" for one in kept})
    assert sum(map(len, splits.values())) == 40
    assert splits["test"]
    assert "All 40 questions from one document had to be divided one by one" in notes[0]
    two, none = split_by_family(kept, {one.id: "ab"[int(one.id) % 3 == 0] for one in kept})
    assert (len(two["train"]), len(two["test"]), none) == (26, 14, ())


def test_both_files_of_questions_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "fuel.md").write_text("# Fuel\n\nAda Lund keeps it.\n")
    write_drafts(tmp_path / DRAFT_FILE, [draft("Who keeps the fuel?")])
    (tmp_path / "questions.csv").write_text("question,answer\nWho keeps it?,Ada Lund\n")
    with pytest.raises(TaskError, match=r"holds both draft\.csv and a filled questions\.csv"):
        init_task(tmp_path, questions_needed=10)
    report = init_task(tmp_path, questions=tmp_path / DRAFT_FILE, questions_needed=10)
    assert report.review[0].startswith("draft.csv: 1 kept")


@pytest.mark.parametrize("cut", [lambda text: text[:-9], lambda text: text + '{"replies', str])
def test_a_torn_journal_loses_its_last_line_alone(
    tmp_path: Path, cut: Callable[[str], str]
) -> None:
    path = tmp_path / "replies.jsonl"
    journal = Journal(path)
    assert journal.spent is None
    journal.keep({"a": "Straße\u2028"}, Bill(energy_j=None, duration_s=1))
    journal.keep({"b": "two"}, Bill(energy_j=2, duration_s=2))
    path.write_text(cut(path.read_text()))
    again = Journal(path)
    whole = len(path.read_text().splitlines()) == 2
    assert again.replies == {"a": "Straße\u2028"} | ({"b": "two"} if whole else {})
    again.keep({"c": "three"}, Bill())
    assert Journal(path).replies == {**again.replies, "c": "three"}
