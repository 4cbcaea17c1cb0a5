"""What users rely on: the public names, light imports, and the list of packages."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import wattune as wt

ROOT = Path(__file__).parents[1]
NAMES = {
    "RAG", "Classical", "Comparison", "ContinuedPretraining", "FromScratch", "FullFineTuning",
    "LangChainRAG", "LoRA", "LongContext", "Merge", "Meter", "Needs", "PeftMethod", "Prompt",
    "PromptSearch", "Prune",
    "Quantize", "Record", "SelfConsistency", "SummaryTree", "SwapPassages", "TreeRAG",
    "Usage", "advise",
    "as_retriever", "ask", "compare", "load_recipe", "load_records", "load_system", "load_task",
    "run", "to_frame",
}  # fmt: skip
HEAVY = {
    "torch", "transformers", "peft", "trl", "accelerate", "datasets", "faiss", "codecarbon",
    "sentence_transformers", "huggingface_hub", "langchain_core", "pandas", "numpy",
}  # fmt: skip


def python(code: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, for what a single import brings along."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_public_names_are_these() -> None:
    # A name less breaks somebody's script; a name more is a promise to keep.
    assert set(wt.__all__) == NAMES
    assert all(hasattr(wt, name) for name in NAMES)
    assert wt.__version__


def test_run_and_compare_stay_verbs_after_their_modules_are_imported() -> None:
    done = python(
        "import wattune as wt\n"
        "import wattune.run, wattune.compare, wattune.compare.table, wattune.ask, wattune.cli\n"
        "from wattune.run import run_recipe\n"
        "assert callable(wt.run) and callable(wt.compare), (wt.run, wt.compare)\n"
        "assert wt.run.__name__ == 'run' and wt.compare.__name__ == 'compare'\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import wattune",
        "import wattune.cli.app; import sys; sys.argv = ['wattune', '--help']\n"
        "try: wattune.cli.app.main()\nexcept SystemExit as end: assert not end.code",
        "import wattune; wattune.load_recipe('quickstart'); wattune.load_task('harbour')",
    ],
    ids=["import", "help", "reading"],
)
def test_nothing_heavy_is_loaded_before_it_is_used(code: str) -> None:
    done = python(f"{code}\nimport sys\nprint(*{HEAVY!r} & sys.modules.keys(), file=sys.stderr)\n")
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""


def test_python_m_wattune_is_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wattune", "ls"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "quickstart" in done.stdout


def test_the_list_of_packages_is_what_lies_in_src() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [
        ".".join(["wattune", *path.parent.relative_to(ROOT / "src").parts])
        for path in (ROOT / "src").rglob("__init__.py")
    ]
    assert set(listed) == {*found, "wattune.recipes"}
    assert len(listed) == len(set(listed))


def test_records_become_a_data_frame() -> None:
    pytest.importorskip("pandas")
    record = wt.Record(name="a", key="k", answers=3)
    frame = wt.to_frame([record])
    assert list(frame["name"]) == ["a"]
    assert frame["answers"][0] == 3
