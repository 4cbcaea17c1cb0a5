"""The notebook of the documentation: sound as a file, and its cells run on records of its kind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune.measure.record import Record

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "decide.ipynb"


@pytest.fixture(scope="module")
def notebook() -> Any:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def test_the_file_is_a_notebook_with_its_outputs(notebook: Any) -> None:
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = notebook["cells"]
    ids = [cell["id"] for cell in cells]
    assert len(ids) == len(set(ids))
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = {output["output_type"] for cell in code for output in cell["outputs"]}
    assert kinds == {"stream", "execute_result"}
    assert sum("image/png" in str(cell["outputs"]) for cell in code) == 2
    # No place of the machine that it was run on.
    text = json.dumps([{**cell, "outputs": _texts(cell)} for cell in cells])
    assert not re.search(r"/(tmp|root|home|work|usr)/", text)


def _texts(cell: Any) -> list[Any]:
    outputs = [dict(output) for output in cell.get("outputs", ())]
    for output in outputs:
        output["data"] = {k: v for k, v in output.get("data", {}).items() if k != "image/png"}
    return outputs


def test_its_cells_run(
    notebook: Any, record_of: Callable[..., Record], written: Callable[..., Path],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    folder = written(
        record_of("rag", 16, 36.0, 20.0, metric="token_f1"),
        record_of("lora", 18, 7200.0, 2.0, trained=True, metric="token_f1"),
    )
    (tmp_path / "here" / "runs").mkdir(parents=True)
    folder.rename(tmp_path / "here" / "runs" / "quickstart")
    monkeypatch.chdir(tmp_path / "here")
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    told = capsys.readouterr().out
    assert "lora pays back against rag after 398 answers" in told
    assert "Take lora" in told
    assert (tmp_path / "here" / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE")
    assert set(names["charts"]) >= {"frontier", "break-even"}
