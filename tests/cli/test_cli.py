"""The command line: what is wrong is one clear sentence and exit 2, and nothing is half-written."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from wattune.runner import Runner

Wattune = Callable[..., Any]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def refused(ran: Any, *sentence: str) -> str:
    """Checks exit 2, one sentence on stderr, no traceback; the sentence."""
    assert ran.code == 2, ran
    assert ran.out == ""
    assert "Traceback" not in ran.err
    lines = [line for line in ran.err.strip().splitlines() if not line.startswith("waiting")]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    for part in sentence:
        assert part in lines[0]
    return str(lines[0])


def nothing_written(tmp_path: Path) -> None:
    """No record, no answers, no half-built stage, no temporary file."""
    for pattern in ("runs/**/*", "cache/stages/*.partial", "**/*.tmp"):
        assert [path for path in tmp_path.glob(pattern) if path.is_file()] == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("realtime_questions", "realtime_question", ["duo.yaml:4", 'did you mean "realtime_quest']),
        ("shots: 2", "shot: 2", ["duo.yaml:9", 'unknown key "prompt.shot"; did you mean "shots"']),
        ("shots: 2", "shots: two", ["duo.yaml:9", '"prompt.shots": input should be a valid int']),
        ("few-shot: [", "few-shot: [[", ["duo.yaml:10:1: broken YAML"]),
        ("task: ferry", "task: fery", ["fery: no built-in task of that name, and no such file"]),
        ("task: ferry", "task: harbor", ['did you mean "harbour"?']),
        ("place: FRA", "place: FRX", ['place "FRX" is not known']),
        ("prompt: {shots: 2}", "promt: {}", ['unknown strategy "promt"; did you mean "prompt"?']),
    ],
)
def test_a_fault_of_the_recipe_is_a_sentence(
    wattune: Wattune, tmp_path: Path, recipe: Path, old: str, new: str, sentence: list[str]
) -> None:
    edit(recipe, old, new)
    refused(wattune("compare", recipe), *sentence)
    nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("smollm2-135", 'did you mean "smollm2-135m"?'),
        ("minilm", '"minilm" is an embedder, where a language model is needed'),
        ("./nowhere", '"./nowhere": there is no such folder'),
        ("a b c", "is no model of the catalogue, no folder here and no hub id"),
    ],
)
def test_an_unknown_model_is_a_sentence(
    wattune: Wattune, tmp_path: Path, recipe: Path, model: str, sentence: str
) -> None:
    refused(wattune("run", recipe, f"model={model}"), sentence)
    nothing_written(tmp_path)


def test_lora_on_a_model_without_weights_is_a_sentence(
    wattune: Wattune, tmp_path: Path, recipe: Path, chat_model: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_bytes((chat_model / "config.json").read_bytes())
    ran = wattune("run", recipe, f"model={bare}", "runs={lora: [lora]}")
    refused(ran, f"{bare} has no safetensors weights; save the model with")
    nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml: there is no such file, and no shipped recipe"),
        (["compare", "quikstart"], 'did you mean "quickstart"?'),
        (["run", "duo.yaml", "lora.r"], 'override "lora.r": write key=value'),
        (["validate", "duo.yaml", "seed=x"], '"seed": input should be a valid integer'),
        (["compare", "missing.json"], "missing.json: there is no such file"),
        (["compare", "ferry"], "ferry: no records there; run a recipe first"),
        (["ask", "ferry", "Who?"], "ferry: no finished records there; run a recipe first"),
        (["ask", "ferry", " "], "the question is empty"),
        (["cp", "lra"], "no shipped recipe of that name"),
        (["cp", "quickstart", "duo.yaml"], "duo.yaml exists already; name another file"),
        (["models", "fetch", "minilmm"], 'did you mean "minilm"?'),
        (["init", "nowhere"], "nowhere: there is no such folder"),
        (["cp", "lora", "/dev/null/x.yaml"], "x.yaml cannot be written"),
        (["compare", "duo.yaml", "--runs", "/dev/null"], "cannot be written (Not a directory)"),
        (["compare", "ferry", "lora.r=8"], "a recipe with overrides, or folders of records"),
        (["ask", "duo.yaml", "Who?"], "duo.yaml is no record; give a folder of records"),
        (["validate", "duo.yaml", "lora.lr_scheduler_type=liner"], "lora.lr_scheduler_type"),
        (["validate", "duo.yaml", "runs={x: [{prompt: {question: hi}}]}"], "has no {question}"),
        (
            ["validate", "duo.yaml", "runs={x: [{rag: {embedder: smollm2-135m-q4}}]}"],
            "is a language model, where an embedder is needed",
        ),
    ],
)
def test_a_wrong_argument_is_a_sentence(
    wattune: Wattune, tmp_path: Path, recipe: Path, arguments: list[str], sentence: str
) -> None:
    refused(wattune(*arguments), sentence)
    nothing_written(tmp_path)


def test_runs_that_are_sure_to_be_skipped_are_named(wattune: Wattune, recipe: Path) -> None:
    ran = wattune("validate", recipe, "runs={zero: [], it: [quantize, lora]}")
    assert ran.code == 0, ran.err
    skipped, fine = ran.out.splitlines()
    assert skipped.startswith("it: will be skipped: weights quantised by int8_weight_only cannot")
    assert fine.startswith("fine: 1 run(s) on ferry")
    ran = wattune("validate", recipe, "runs={it: [quantize, lora]}")
    assert ran.code == 2
    assert "it: will be skipped: " in ran.out
    assert "every run of this recipe would be skipped" in ran.err


def test_faults_of_the_task_name_file_and_line(
    wattune: Wattune, tmp_path: Path, recipe: Path, task_folder: Path
) -> None:
    test = task_folder / "test.jsonl"
    whole = test.read_text(encoding="utf-8")
    test.write_text("", encoding="utf-8")
    refused(wattune("compare", recipe), "test.jsonl: no test questions; a task needs at least one")
    test.write_text(whole + whole.splitlines()[0] + "\n", encoding="utf-8")
    refused(wattune("compare", recipe), "test.jsonl:13", 'the id "test-at-alder" is already used')
    test.write_text(whole.replace('"question"', '"qestion"', 1), encoding="utf-8")
    ran = wattune("compare", recipe)
    assert ran.code == 2
    assert 'test.jsonl:1: unknown key "qestion"; did you mean "question"?' in ran.err
    test.unlink()
    refused(wattune("compare", recipe), "task.yaml:5", "there is no test.jsonl in")
    nothing_written(tmp_path)


def test_a_test_question_in_training_is_refused_or_marked(
    wattune: Wattune, tmp_path: Path, recipe: Path, task_folder: Path
) -> None:
    leak = {"id": "leak", "question": "where does the boat to ALDER leave", "answers": ["jetty 1"]}
    with (task_folder / "test.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(leak) + "\n")
    refused(wattune("compare", recipe), "leak = train-where-alder", "--allow-overlap")
    refused(wattune("validate", recipe), "leak = train-where-alder")
    nothing_written(tmp_path)
    ran = wattune("compare", recipe, "runs={zero: []}", "--allow-overlap")
    assert ran.code == 0, ran.err
    assert "WARNING: test questions stand in training" in ran.out
    (path,) = (tmp_path / "runs" / "duo").glob("zero-????????.json")
    assert json.loads(path.read_text())["flags"] == ["overlap_allowed"]


def test_a_full_disk_is_a_sentence_and_leaves_no_record(
    wattune: Wattune, tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).parent.parent == tmp_path / "runs" or "runs" in Path(target).parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    ran = wattune("compare", recipe, "--runs", "runs", "--no-progress")
    refused(ran, "the disk is full", "was not written; free some space", "wattune cache prune")
    nothing_written(tmp_path)


def test_ctrl_c_says_what_is_kept_and_exits_130(
    wattune: Wattune, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(Runner, "_measure", interrupt)
    ran = wattune("compare", recipe, "--no-progress")
    assert ran.code == 130
    assert ran.err == "stopped; finished runs are kept, the same command goes on\n"


def test_a_run_that_crashes_is_a_row_and_debug_shows_where(
    wattune: Wattune, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> NoReturn:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("wattune.answering.session.Session.answer", crash)
    reason = "failed: ZeroDivisionError: by zero (--debug shows where)"
    ran = wattune("compare", recipe, "--no-progress")
    assert (ran.code, ran.err) == (1, "")  # nothing was done; one done run would make it 0
    assert f"zero-shot {reason}" in ran.out
    assert f"few-shot {reason}" in ran.out
    assert wattune("run", recipe, "--no-progress").code == 1
    with pytest.raises(ZeroDivisionError):
        wattune("compare", recipe, "--no-progress", "--debug")


def test_a_crash_outside_of_runs_is_exit_1(
    wattune: Wattune, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> NoReturn:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(sys.modules["wattune.run"], "run_recipe", crash)
    ran = wattune("compare", recipe)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "crashed: ZeroDivisionError: by zero (--debug shows where)\n"


def test_a_subprocess_shows_the_sentence_and_no_traceback(recipe: Path, tmp_path: Path) -> None:
    edit(recipe, "realtime_questions", "latency")
    ran = subprocess.run(
        [sys.executable, "-m", "wattune", "compare", str(recipe)],
        capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (2, "")
    assert re.fullmatch(r'error: .*duo\.yaml:4: unknown key "latency".*\n', ran.stderr)


def test_compare_runs_reuses_and_prints_every_format(
    wattune: Wattune, tmp_path: Path, recipe: Path
) -> None:
    ran = wattune("compare", recipe)
    assert ran.code == 0, ran.err
    assert "zero-shot" in ran.out
    assert "(always refuse)" in ran.out
    assert "few-shot: done in" in ran.err
    again = wattune("compare", recipe)
    # A terminal's width may break the line.
    assert "2 of 2 runs were finished before and are reused" in " ".join(again.err.split())
    assert again.out == ran.out
    quiet = wattune("compare", recipe, "--no-progress", "--format", "csv")
    assert quiet.err == ""
    table = list(csv.DictReader(io.StringIO(quiet.out)))
    assert [row["run"] for row in table] == ["zero-shot", "few-shot"]
    assert wattune("compare", "runs/duo", "--format", "json").code == 0
    rows = json.loads(wattune("compare", recipe, "--format", "json").out)
    assert [row["token_f1"] for row in rows] == [float(row["token_f1"]) for row in table]
    wrote = wattune("compare", recipe, "--format", "markdown", "--output", "table.md")
    assert wrote.out == ""
    assert "| zero-shot |" in (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "gCO₂e: prepare + load" in wattune("compare", recipe, "--format", "markdown").out


def test_quick_runs_a_slice_under_a_name_of_its_own(
    wattune: Wattune, tmp_path: Path, recipe: Path
) -> None:
    ran = wattune("compare", recipe, "quick.questions=3", "runs={zero: []}", "--quick")
    assert ran.code == 0, ran.err
    assert "3 test questions" in ran.out
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["duo-quick"]


def test_run_exits_2_where_its_run_cannot_be_done(wattune: Wattune, recipe: Path) -> None:
    ran = wattune("run", recipe, "runs={many: [{prompt: {shots: 60}}]}", "--no-progress")
    assert ran.code == 2
    assert "many skipped: prompt.shots is 60 and the task has 24 training" in ran.out


def test_ask_shows_every_system_with_passages_and_joules(
    wattune: Wattune, recipe: Path, embedder: str
) -> None:
    rag = f"{{rag: {{embedder: {embedder}, chunk_tokens: 40, overlap_tokens: 4}}}}"
    wattune("compare", recipe, f"runs={{zero: [], rag: [{rag}]}}", "--no-progress")
    ran = wattune("ask", "runs/duo", "Who sails after ten?")
    assert ran.code == 0, ran.err
    rows = [line for line in ran.out.splitlines() if re.match(r" +(zero|rag) ", line)]
    assert len(rows) == 2
    assert all(re.search(r"\d+\.\d +\d+\.\d\d +\d+\.\d\d +\d+/\d+", row) for row in rows)
    assert "(1) (2)" in next(row for row in rows if row.strip().startswith("rag"))
    assert re.search(r"^\(1\) \S+: ", ran.out, re.MULTILINE)
    assert wattune("cache", "prune").code == 0
    pruned = wattune("ask", "runs/duo", "Who sails after ten?")
    assert pruned.code == 0
    assert "run its recipe again" in " ".join(pruned.out.split())


def test_a_half_told_launch_is_refused(
    wattune: Wattune, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused(wattune("run", recipe), "start them with torchrun or accelerate launch")


def test_init_makes_a_task_that_validates(
    wattune: Wattune, tmp_path: Path, task_folder: Path, chat_model: Path
) -> None:
    own = tmp_path / "own"
    (task_folder / "documents").rename(own)
    ran = wattune("init", "own")
    assert ran.code == 0, ran.err
    assert "questions.csv" in ran.out
    assert "needed to see a difference of 0.05" in ran.out
    refused(wattune("init", "own"), "questions.csv is already there and is not overwritten")
    (own / "questions.csv").write_text(
        "question,answer\n" + "".join(f"Where is jetty {n}?,In bay {n}\n" for n in range(20)),
        encoding="utf-8",
    )
    ran = wattune("init", "own", "--questions", "own/questions.csv")
    assert ran.code == 0, ran.err
    made = {path.name for path in own.iterdir()}
    assert {"task.yaml", "train.jsonl", "test.jsonl", "recipe.yaml"} <= made
    ran = wattune("validate", "own/recipe.yaml", f"model={chat_model}")
    assert ran.code == 0, ran.err
    assert re.fullmatch(r"fine: 4 run\(s\) on own: \d+ training, .* 6 documents\n", ran.out)


def test_shipped_recipes_are_listed_and_copied(wattune: Wattune, tmp_path: Path) -> None:
    listed = wattune("ls").out.splitlines()
    assert any(line.startswith("quickstart ") for line in listed)
    assert wattune("cp", "quickstart").out == "quickstart.yaml\n"
    assert wattune("cp", "quickstart", "mine.yaml").code == 0
    assert wattune("cp", "quickstart", "-").out == (tmp_path / "mine.yaml").read_text()
    copies = [(tmp_path / name).read_text() for name in ("quickstart.yaml", "mine.yaml")]
    assert copies[0] == copies[1]
    assert "harbour" in copies[0]


def test_the_catalogue_and_the_cache_are_told(wattune: Wattune, cache: Path, recipe: Path) -> None:
    listed = wattune("models", "ls").out
    for name in ("smollm2-135m ", "smollm2-135m-q4 ", "minilm "):
        assert re.search(rf"^{name}.* MB to fetch ", listed, re.MULTILINE)
    assert "0.0 MB" in wattune("cache", "info").out
    assert wattune("cache", "prune").out.startswith("removed 0 stage(s), 0.0 MB")
    wattune("compare", recipe, "--no-progress")
    assert str(cache / "stages") in wattune("cache", "info").out
    assert wattune("cache", "prune").out.startswith("removed 1 stage(s)")


def test_the_version_and_the_help_of_debug(wattune: Wattune) -> None:
    assert wattune("--version").out.startswith("wattune ")
    assert "--debug" in wattune("--help").out


def test_the_ending_of_the_output_says_its_format(
    wattune: Wattune, tmp_path: Path, recipe: Path
) -> None:
    ran = wattune("compare", recipe, "-o", tmp_path / "table.csv", "--no-progress")
    assert (ran.code, ran.out) == (0, "")
    assert (tmp_path / "table.csv").read_text(encoding="utf-8").startswith("run,status,reason,")
    wattune("compare", recipe, "-o", tmp_path / "table.md", "--no-progress")
    assert (tmp_path / "table.md").read_text(encoding="utf-8").startswith("**Quality")
