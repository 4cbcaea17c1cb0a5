"""Scores that others published: read whole with their source, or refused with every line."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattune.errors import InputError, StorageError
from wattune.measure.published import read_published

HEADER = "model,benchmark,metric,score,source,url,date\n"
ROW = "tiny,GSM8K,accuracy,12.5,A leaderboard,https://example.org/board,2025-02-28\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scores.csv"


def test_scores_keep_their_source_and_unit(path: Path) -> None:
    more = 'tiny,MMLU,accuracy,0.31,"A paper, second edition",,\n'
    path.write_text(HEADER + ROW + more, encoding="utf-8-sig")
    first, second = read_published(path)
    assert (first.score, first.url, first.date) == (
        12.5,
        "https://example.org/board",
        "2025-02-28",
    )
    assert (second.score, second.source, second.url) == (0.31, "A paper, second edition", "")


def test_url_and_date_may_be_left_out_and_columns_stand_in_any_order(path: Path) -> None:
    path.write_text("score,model,source,metric,benchmark\n3,tiny,me,f1,B\n", encoding="utf-8")
    (score,) = read_published(path)
    assert (score.model, score.score, score.date) == ("tiny", 3.0, "")


def test_every_fault_is_told_with_its_line(path: Path) -> None:
    path.write_text(
        HEADER
        + "tiny,GSM8K,accuracy,high,A board,,\n"
        + ROW
        + ",GSM8K,accuracy,1,,,\n"
        + "tiny,GSM8K,f1,nan,A board,ftp://x,28.2.2025\n"
        + "tiny,GSM8K,f1,1,A board\n"
        + "tiny,GSM8K,f1,1,A board,,2025-01-01,more\n"
        + ROW,
        encoding="utf-8",
    )
    with pytest.raises(InputError) as caught:
        read_published(path)
    told = [line.removeprefix(f"{path}:") for line in str(caught.value).split("\n")]
    assert told == [
        '2: score takes a number, not "high"',
        "4: model and source is missing",
        '5: score takes a number, not "nan"',
        '5: date takes one such as 2025-02-28, not "28.2.2025"',
        '5: url begins with https://, and this one is "ftp://x"',
        "6: a cell at the end is missing",
        "7: more cells than columns; a comma within a text needs quotes around the text",
        "8: tiny, GSM8K, accuracy, A leaderboard stands there twice",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ":1: the header is missing; it reads model,benchmark"),
        (HEADER, "no scores below the header"),
        ("model,benchmark,metric,scor,source\n", 'unknown column "scor"; did you mean "score"?'),
        ("model,benchmark,metric,score\n", ':1: the column "source" is missing'),
        ("model,model,benchmark,metric,score,source\n", ":1: a column stands there twice"),
        (HEADER + 'tiny,"GSM8K,accuracy,1,me,,\n', "no CSV (unexpected end of data)"),
    ],
)
def test_what_is_no_such_table_is_told(path: Path, text: str, told: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_published(path)
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_told(path: Path) -> None:
    with pytest.raises(StorageError, match="there is no such file"):
        read_published(path)
