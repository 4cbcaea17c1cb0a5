"""Chunks: heading paths, sizes, tables, and nothing lost."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from wattune.errors import InputError
from wattune.rag.chunking import Chunk, chunk_documents, sections
from wattune.rag.sentence_windows import sentences, windows
from wattune.tasks.task import Document


def count(text: str) -> int:
    return len(text.split())


def chunk(text: str, *, size: int = 40, overlap: int = 0, title: str = "Guide") -> list[Chunk]:
    document = Document(id="guide", text=text, title=title)
    return chunk_documents([document], size=size, overlap=overlap, count_tokens=count)


PAGE = """\
Before any heading.

# Guide

Opening words.

## Docks

### Dry dock

Closed on Sunday.

```sh
# not a heading
run it
```

## Empty of words

## Cranes ##

Two cranes.
"""


def test_each_chunk_opens_with_its_heading_path() -> None:
    chunks = chunk(PAGE)
    assert [(one.id, one.title) for one in chunks] == [
        ("guide#1", "Guide"),
        ("guide#2", "Guide"),
        ("guide#3", "Guide › Docks › Dry dock"),
        ("guide#4", "Guide › Empty of words"),
        ("guide#5", "Guide › Cranes"),
    ]
    assert all(one.text.startswith(one.title) for one in chunks)
    assert chunks[0].text == "Guide\n\nBefore any heading."
    assert "# not a heading\nrun it" in chunks[2].text
    assert chunks[3].text == "Guide › Empty of words"
    assert all(one.document == "guide" for one in chunks)


def test_a_document_title_that_no_heading_says_comes_first() -> None:
    assert [one.title for one in chunk("# Docks\n\nText.", title="Handbook")] == [
        "Handbook › Docks"
    ]
    assert [one.text for one in chunk("Text.", title="")] == ["Text."]
    assert chunk("", title="") == []


def test_a_fence_ends_only_at_its_own_kind() -> None:
    text = "# A\n\n````\n```\n# code\n```\n````\n\n# B\n\ntext\n\n~~~\n# never closed"
    assert [path for path, _ in sections(text)] == [("A",), ("B",)]


PROSE = "\n\n".join(
    " ".join(f"Sentence {p}.{s} speaks of ropes and bollards." for s in range(9)) for p in range(4)
)


def test_long_sections_are_cut_to_size_with_nothing_lost() -> None:
    chunks = chunk(f"# Guide\n\n{PROSE}")
    assert len(chunks) > 4
    assert max(count(one.text) for one in chunks) <= 40
    words = [word for one in chunks for word in one.text.split()[1:]]
    assert words == PROSE.split()
    assert all(one.text.endswith(".") for one in chunks)  # cut between sentences
    assert chunks == chunk(f"# Guide\n\n{PROSE}")


def test_overlap_repeats_the_end_of_the_neighbour() -> None:
    chunks = chunk(PROSE, overlap=14)
    assert max(count(one.text) for one in chunks) <= 40
    shared = 0
    for one, other in itertools.pairwise(chunks):
        last = one.text.split()[-7:]  # one sentence has seven words
        shared += other.text.split()[1:].count(last[1]) > 0
    assert shared >= len(chunks) // 2
    assert sum(count(one.text) for one in chunks) > sum(count(one.text) for one in chunk(PROSE))


def test_one_endless_word_is_cut_too() -> None:
    document = Document(id="x", text="a" * 500)
    chunks = chunk_documents([document], size=50, overlap=5, count_tokens=len)
    assert max(len(one.text) for one in chunks) <= 50
    assert sum(len(one.text) for one in chunks) >= 500


def table(rows: int) -> str:
    lines = [f"| crane {row} | {row} tonnes |" for row in range(rows)]
    return "\n".join(["| name | lifts |", "|------|-------|", *lines])


def test_a_table_that_fits_is_not_torn() -> None:
    before = "Some words before the table. " * 5
    chunks = chunk(f"{before}\n{table(2)}\nAnd after it.", size=50)
    assert sum(table(2) in one.text for one in chunks) == 1


def test_a_table_too_long_is_cut_between_rows_under_its_header() -> None:
    chunks = chunk(table(12), size=40)
    assert len(chunks) > 1
    assert max(count(one.text) for one in chunks) <= 40
    assert all("| name | lifts |\n|------|-------|\n" in one.text for one in chunks)
    rows = [line for one in chunks for line in one.text.split("\n") if "tonnes" in line]
    assert rows == [f"| crane {row} | {row} tonnes |" for row in range(12)]


def test_code_that_fits_is_not_torn() -> None:
    code = "```\nfirst line\n\n  | not a table\n\nlast line\n```"
    chunks = chunk("Words to fill the room. " * 6 + "\n\n" + code, size=40)
    assert sum(code in one.text for one in chunks) == 1


def test_a_heading_path_longer_than_the_chunk_is_shortened() -> None:
    long = " ".join(["very"] * 30)
    chunks = chunk(f"# {long}\n\n## Short\n\n{PROSE}", size=20)
    assert max(count(one.text) for one in chunks) <= 20
    assert chunks[0].text.startswith("Short\n\n")
    assert chunks[0].title == f"Guide › {long} › Short"


@pytest.mark.parametrize(
    ("size", "overlap", "most", "message"),
    [
        (300, 20, 256, "chunks of 300 tokens are longer than the 256 tokens that the embedder"),
        (40, 40, None, "an overlap of 40 tokens does not go with chunks of 40"),
        (40, -1, None, "an overlap of -1"),
        (0, 0, None, "chunks of 0 tokens cannot be"),
    ],
)
def test_sizes_that_cannot_be(size: int, overlap: int, most: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chunk_documents([], size=size, overlap=overlap, count_tokens=count, max_tokens=most)


def test_metadata_goes_to_every_chunk_and_pages_are_named() -> None:
    told: dict[str, str | int | float | bool] = {"author": "Ada"}
    page = Document(id="p", text="# P\n\nOne.\n\n## Q\n\nTwo.", title="P", metadata=told)
    assert [one.metadata for one in chunks_of(page)] == [told, told]
    assert "metadata" not in chunk("Text.")[0].plain()
    paper = Document(id="p", text="\fMast.\fKeel.", metadata={"pages": 3})
    chunks = chunks_of(paper)
    assert [(one.id, one.text, one.metadata["page"]) for one in chunks] == [
        ("p#1", "Mast.", 2),
        ("p#2", "Keel.", 3),
    ]
    other = Document(id="p", text="\fMast.\fKeel.", metadata={"pages": 30})
    assert [one.metadata for one in chunks_of(other)] == [{"pages": 30}]


def chunks_of(document: Document) -> list[Chunk]:
    return chunk_documents([document], size=40, overlap=0, count_tokens=count)


def test_sentences_end_where_a_reader_says_so() -> None:
    text = (
        'Dr. J. Smith pays approx. three crowns (e.g. cash). "Really?" Yes! It is 3.5 km... so far.'
        "\n- one entry\n- another\n\nA new\nparagraph. 船が来る。港は閉まる。"
    )
    found = sentences(text)
    assert "".join(found) == text
    assert [one.strip() for one in found] == [
        "Dr.",  # the one wrong cut: a title is not known from a word
        "J. Smith pays approx. three crowns (e.g. cash).",
        '"Really?"',
        "Yes!",
        "It is 3.5 km...",
        "so far.",
        "- one entry",
        "- another",
        "A new\nparagraph.",
        "船が来る。",
        "港は閉まる。",
    ]
    assert sentences(" \n") == []


def by_sentences(text: str, *, size: int = 40, overlap: int = 14) -> list[Chunk]:
    document = Document(id="guide", text=text, title="Guide")
    return chunk_documents(
        [document], size=size, overlap=overlap, count_tokens=count, by="sentences"
    )


def test_sentence_windows_overlap_by_whole_sentences() -> None:
    bodies = [one.text.removeprefix("Guide\n\n") for one in by_sentences(PROSE)]
    assert max(map(count, bodies)) <= 39
    for one, other in itertools.pairwise(map(sentences, bodies)):
        assert [s.strip() for s in one[-2:]] == [s.strip() for s in other[:2]]  # 7 words each
    told = [s.strip() for body in bodies for s in sentences(body)]
    assert list(dict.fromkeys(told)) == [s.strip() for s in sentences(PROSE)]  # none lost
    assert "".join(by_sentences("One. Two.")[0].text) == "Guide\n\nOne. Two."


def test_sentence_windows_keep_tables_and_cut_what_is_too_long() -> None:
    text = f"{PROSE}\n\n{table(2)}\n\n{'word ' * 90}"
    chunks = by_sentences(text)
    assert max(count(one.text) for one in chunks) <= 40
    assert any(table(2) in one.text for one in chunks)
    assert sum(one.text.split().count("word") for one in chunks) >= 90


def test_windows_end_even_where_the_overlap_leaves_no_room() -> None:
    units = ["a b c ", "d ", "e f g h ", "i j k l m n "]
    found = windows(units, 5, 4, count)
    assert found == ["a b c d", "d e f g h", "i j k l m n"]


@pytest.mark.parametrize("by", ["heading", "sentences"])
@pytest.mark.parametrize(
    "line",
    ["a" * 60_000, "word " * 30_000, "Yes. " * 30_000, "." * 60_000, "# " + "b " * 30_000],
    ids=["one word", "words", "sentences", "dots", "a heading"],
)
def test_an_endless_line_is_cut_by_counting_each_part_a_few_times(line: str, by: Any) -> None:
    seen: list[int] = []

    def counted(text: str) -> int:
        """As WordPiece: a long word is one unknown token; two special ones stand around."""
        seen.append(len(text))
        return 2 + sum(1 if len(word) > 100 else 1 + len(word) // 5 for word in text.split())

    document = Document(id="x", text=line)
    chunks = chunk_documents([document], size=60, overlap=8, count_tokens=counted, by=by)
    assert max(len(one.text) for one in chunks) <= 60 * 100
    assert max(seen) <= 60 * 100  # no text of megabytes was ever handed to the tokenizer
    assert sum(seen) <= 12 * len(line)
    kept = sum(len(one.text.replace(" ", "")) for one in chunks)
    assert kept >= len(line.replace(" ", ""))


def test_a_million_empty_documents_give_no_chunk() -> None:
    empty = itertools.repeat(Document(id="x", text="", title="X"), 1_000_000)
    assert chunk_documents(empty, size=40, overlap=0, count_tokens=count) == []
