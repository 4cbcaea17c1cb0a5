"""The plot: a real picture of the right size, its labels, what is left out, and no pyplot."""

from __future__ import annotations

import struct
import subprocess
import sys
from typing import Any

import pytest

from wattune.compare import compare
from wattune.compare.frontier import parted
from wattune.compare.plot import MOST_NOTED, draw
from wattune.errors import CannotRun
from wattune.measure.noise import CONTENDED
from wattune.measure.record import Energy, Phase, Record, Score

pytest.importorskip("matplotlib", reason="comes with wattune[plot]")


def point(name: str, quality: float, joules: float | None, **changes: Any) -> Record:
    """A finished record of 100 answers; 360 J are 1 Wh per 1,000."""
    score = Score(value=quality, low=quality - 0.1, high=quality + 0.1, n=100)
    energy = {
        "cpu": Energy(energy_j=joules, provenance="modelled_load"),
        "ram": Energy(energy_j=0.0, provenance="constant"),
    }
    given = {
        "name": name,
        "key": f"key-of-{name}",
        "system": {"model": {"name": "org/small-model@0123456789", "revision": "r"}},
        "task": {"name": "ferry $5", "items": "0", "split": "validation", "questions": 100},
        "phases": {"answer": Phase(duration_s=1.0, energy_j=joules, components=energy)},
        "answers": 100,
        "quality": {"token_f1": score},
    }
    return Record.model_validate({**given, **changes})


GRID = [
    point("zero-shot", 0.2, 360.0),
    point("rag+k=1,max_tokens=16", 0.3, 720.0),
    point("rag+k=2,max_tokens=16", 0.5, 1800.0),
]


def svg(*records: Record) -> str:
    return draw(compare(records), "svg").decode("utf-8")


def test_the_png_has_the_size_it_promises() -> None:
    content = draw(compare(GRID), "png")
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (1152, 720)
    assert len(content) > 10_000  # an empty panel takes less


def test_the_svg_names_axes_runs_points_and_where_the_energy_is_from() -> None:
    text = svg(*GRID)
    for label in (
        "ferry $5, small-model, 100 validation questions",
        "energy: cpu modelled_load, ram constant",
        "Wh per 1,000 answers",
        "token F1, 95 % intervals",
        ">k=1<",
        ">k=2<",
        ">max_tokens=16<",
        ">rag<",
        ">frontier<",
    ):
        assert label in text, label
    assert text.count(">zero-shot<") == 2  # in the legend, and beside a point without settings
    assert text == svg(*GRID)  # equal records give an equal file


def test_the_energies_are_logarithmic_where_they_span_more_than_tenfold() -> None:
    assert ">50<" in svg(*GRID, point("lora", 0.6, 36_000.0))  # 1, 2, 5, 10, ... Wh
    assert ">50<" not in svg(*GRID)


def test_of_many_points_only_those_on_the_frontier_have_their_settings_beside_them() -> None:
    many = [point(f"rag+k={n}", 0.5 - n / 1000, 360.0 + n) for n in range(1, MOST_NOTED + 2)]
    text = svg(*many)
    assert "k=1<" in text
    assert "k=2<" not in text


def test_what_is_not_ranked_together_is_not_drawn_together() -> None:
    other = {"name": "pier", "items": "1", "split": "test", "questions": 9}
    records = [*GRID, point("zero-shot+task=pier", 0.9, 360.0, task=other)]
    content = draw(compare(records), "png")
    assert struct.unpack(">II", content[16:24]) == (1152, 2 * 720)
    text = svg(*records)
    assert "group A" in text
    assert "pier, small-model, 9 test questions" in text


def test_a_busy_machine_has_no_frontier_and_the_picture_says_why() -> None:
    flags = (f"{CONTENDED}: 75 % of the processors",)
    text = svg(*[record.model_copy(update={"flags": flags}) for record in GRID])
    assert "other programs kept the machine busy: no frontier" in text
    assert ">frontier<" not in text
    assert "busy" not in svg(*GRID)


def test_a_point_without_energy_is_left_out_and_none_at_all_is_told() -> None:
    assert "k=9" not in svg(*GRID, point("rag+k=9", 0.9, None))
    with pytest.raises(CannotRun, match="no point has both a quality and an energy"):
        svg(point("rag+k=9", 0.9, None))


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(CannotRun, match=r"pip install 'wattune\[plot\]'"):
        draw(compare(GRID), "png")


def test_drawing_leaves_pyplot_and_the_settings_of_others_alone() -> None:
    program = (
        "import sys\n"
        "from wattune.compare import compare, plot\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from wattune.measure.record import Record\n"
        f"record = Record.model_validate_json({GRID[0].model_dump_json()!r})\n"
        "import matplotlib\n"
        "before = matplotlib.rcParams.copy()\n"
        "plot.draw(compare([record]), 'svg')\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rag", ("rag", "")),
        ("prompt+rag", ("prompt+rag", "")),
        ("prompt+rag+k=2", ("prompt+rag", "k=2")),
        ("rag+k=2,max_tokens=16", ("rag", "k=2,max_tokens=16")),
    ],
)
def test_a_name_is_parted_into_run_and_settings(name: str, expected: tuple[str, str]) -> None:
    assert parted(name) == expected
