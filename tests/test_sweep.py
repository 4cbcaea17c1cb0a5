"""Sweeps: what an axis is, which runs it touches, names, records that stand alone, the verb."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from wattune.errors import InputError, RecipeError
from wattune.job import Job, jobs_of
from wattune.measure.meter import Meter
from wattune.measure.store import load_records
from wattune.recipe import parse_recipe
from wattune.runner import Runner
from wattune.sweep import run_sweep
from wattune.sweep_grid import Axis, axis_of, grid, point_name

Wattune = Callable[..., Any]
Sweep = Callable[..., list[Job]]


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("rag.k=1,2,4", ["1", "2", "4"]),
        ("rag.k=1, 2 ,4", ["1", "2", "4"]),
        ("seeds=[0,1]", None),
        ("seeds=[0,1],[2,3]", ["[0,1]", "[2,3]"]),
        ("tree_rag.rag=null,{k: 2, chunk_tokens: 40}", ["null", "{k: 2, chunk_tokens: 40}"]),
        ('prompt.instruction="Be short, be right."', None),
        ("prompt.instruction='Say {refusal}, or answer','It''s short, please'",
         ["'Say {refusal}, or answer'", "'It''s short, please'"]),
        (r'decoding.stop=["\n"],["\n", "."]', [r'["\n"]', r'["\n", "."]']),
        ("model=org/small@main,org/large", ["org/small@main", "org/large"]),
        ("prompt.answer_after=a=b,c=d", ["a=b", "c=d"]),
        ("lora.learning_rate=1e-4,3e+4", ["1e-4", "3e+4"]),
        ("rag.k=2", None),
        ("rag.k=2,", None),
        ("rag.k=", None),
        ("rag.k", None),
        ("rag.k=1,,2", None),
        ("rag.k=[1,2", None),
        ("rag.k=1],[2", None),
    ],
)  # fmt: skip
def test_commas_make_an_axis_but_in_brackets_and_quotes(
    override: str, values: list[str] | None
) -> None:
    key = override.partition("=")[0]
    assert axis_of(override) == (Axis(key, tuple(values)) if values else None)


def test_the_grid_is_every_pair_and_overrides_keep_their_order() -> None:
    axes, points = grid(["rag.k=1,2", "seeds=[0,1]", "seed=3,4"])
    assert [axis.key for axis in axes] == ["rag.k", "seed"]
    assert points == {
        (0, 0): ["rag.k=1", "seeds=[0,1]", "seed=3"],
        (0, 1): ["rag.k=1", "seeds=[0,1]", "seed=4"],
        (1, 0): ["rag.k=2", "seeds=[0,1]", "seed=3"],
        (1, 1): ["rag.k=2", "seeds=[0,1]", "seed=4"],
    }


NUMBERS = ",".join(map(str, range(1, 18)))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ([], "a sweep needs a setting with several values, such as rag.k=1,2,4; .* compare"),
        (["rag.k=2", "seeds=[0,1]"], "a sweep needs a setting with several values"),
        (["rag.k=1,2", "rag.k=4"], '"rag.k" is given twice'),
        (["rag.k=1,2,1"], '"rag.k": 1 is given twice'),
        ([f"rag.k={NUMBERS}", f"seed={NUMBERS}"], r"has 289 points \(17 x 17\) and 256 are"),
    ],
)
def test_a_grid_that_cannot_be_is_told(overrides: list[str], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        grid(overrides)


def test_names_are_those_of_the_settings_in_any_order_of_the_axes() -> None:
    assert point_name("rag", {"max_tokens": "16", "k": "2"}) == "rag+k=2,max_tokens=16"
    assert point_name("rag", {}) == "rag"
    settings = {"instruction": "x" * 24, "answer_after": "y" * 24}
    long = point_name("a-run", settings)
    assert re.fullmatch(r"a-run\+point=[0-9a-f]{8}", long)
    assert point_name("a-run", {**settings, "answer_after": "z"}) != long
    assert len(point_name("r" * 61, {"k": "2"})) <= 61


@pytest.fixture
def trio(tmp_path: Path, task_folder: Path, chat_model: Path, embedder: str) -> Path:
    """A recipe whose runs read different settings."""
    path = tmp_path / "trio.yaml"
    path.write_text(
        f"task: {task_folder.name}\nmodel: {chat_model}\nplace: FRA\nrealtime_questions: 0\n"
        "baseline_s: 0\ndecoding: {max_tokens: 2}\nlimit: {questions: 4}\n"
        f"rag: {{embedder: {embedder}, chunk_tokens: 40, overlap_tokens: 4}}\n"
        "runs:\n  zero-shot: []\n  rag: [rag]\n  both: [{prompt: {shots: 1}}, {rag: {k: 2}}]\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def sweep(trio: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """The jobs that a sweep of `trio` would run; none is run."""

    def jobs_of_sweep(*overrides: str, say: Callable[[str], None] = print) -> list[Job]:
        jobs: list[Job] = []
        with monkeypatch.context() as patched:
            patched.setattr("wattune.sweep.run_jobs", lambda given, *_, **__: jobs.extend(given))
            run_sweep(str(trio), overrides, trio.parent / "runs", say=say)
        return jobs

    return jobs_of_sweep


def names(jobs: list[Job]) -> list[str]:
    return [job.name for job in jobs]


def test_each_run_is_made_at_the_points_that_differ_for_it(sweep: Sweep) -> None:
    said: list[str] = []
    jobs = sweep("rag.k=1,2,4", "prompt.shots=1,2", say=said.append)
    assert names(jobs) == [
        "zero-shot",
        *[f"rag+k={k}" for k in (1, 2, 4)],
        *[f"both+k={k},shots={shots}" for k in (1, 2, 4) for shots in (1, 2)],
    ]
    assert len({job.key for job in jobs}) == len(jobs) == 10
    assert "a grid of 6 points: 10 runs" in said
    steps = {job.name: job.strategies for job in jobs}
    assert [step.plain().get("k") for step in steps["both+k=4,shots=1"]] == [None, 4]
    # The same names, whatever the order of the axes: finished points are found again.
    turned = sweep("prompt.shots=1,2", "rag.k=1,2,4")
    assert {(job.name, job.key) for job in turned} == {(job.name, job.key) for job in jobs}


def test_settings_that_end_alike_are_named_in_full(sweep: Sweep) -> None:
    tree = "runs={tree: [{tree_rag: {rag: {k: 3}}}, rag]}"
    found = names(sweep(tree, "tree_rag.rag.k=1,2", "rag.k=1,2"))
    assert found[0] == "tree+rag.k=1,tree_rag.rag.k=1"
    assert len(set(found)) == 4


def test_values_that_no_name_can_hold_are_told_with_their_name(sweep: Sweep) -> None:
    said: list[str] = []
    first = '"Answer with one name, and with nothing but that: no sentence."'
    values = f'prompt.instruction={first},"No, guess"'
    found = names(sweep("runs={ask: [prompt]}", values, say=said.append))
    assert all(re.fullmatch(r"ask\+instruction=[0-9a-f]{8}", name) for name in found)
    assert len(set(found)) == 2
    assert f"{found[0]} is ask with prompt.instruction={first}" in said
    stops = names(sweep("runs={ask: []}", r'decoding.stop=["!"],["."]'))  # nothing to show
    assert all(re.fullmatch(r"ask\+stop=[0-9a-f]{8}", name) for name in stops)
    assert len(set(stops)) == 2
    shown = names(sweep("runs={ask: []}", "decoding.stop=[a],[b.]"))
    assert shown == ["ask+stop=a", "ask+stop=b"]


def test_every_seed_is_made_at_every_point(sweep: Sweep) -> None:
    jobs = sweep("seeds=[0,1]", "prompt.shots=1,2", "rag.k=1")
    assert names(jobs) == ["zero-shot", "rag", *["both+shots=1"] * 2, *["both+shots=2"] * 2]
    assert [job.seed for job in jobs if job.name == "both+shots=2"] == [0, 1]


@pytest.mark.parametrize(
    ("axis", "sentence"),
    [
        ("rag.kk=1,2", 'unknown key "rag.kk"; did you mean "k"'),
        ("rga.k=1,2", 'unknown key "rga"; did you mean "rag"'),
        ("rag.k=1,many", '"rag.k": input should be a valid integer'),
        ("model=./nowhere,./there", '"./nowhere": there is no such folder'),
        ("place=FRA,DEU", '"place" changes no run of this recipe'),
        ("lora.r=4,8", '"lora.r" changes no run of this recipe'),
    ],
)
def test_what_is_wrong_with_an_axis_is_told_before_anything_runs(
    trio: Path, axis: str, sentence: str
) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        run_sweep(str(trio), ["decoding.max_tokens=2,3", axis], trio.parent / "runs")
    assert not (trio.parent / "runs").exists()


def test_the_validation_questions_are_asked_unless_someone_said_which(
    trio: Path, task_folder: Path, sweep: Sweep
) -> None:
    def asked(*overrides: str) -> tuple[set[str], str]:
        said: list[str] = []
        jobs = sweep("decoding.max_tokens=2,3", "runs={a: []}", *overrides, say=said.append)
        assert {(job.recipe or {})["split"] for job in jobs} == {job.split for job in jobs}
        assert {len(job.task.split(job.split)) for job in jobs} == {4}  # the limit is of these
        return {job.split for job in jobs}, said[0]

    split, line = asked()
    assert split == {"validation"}
    assert line.startswith("the validation questions are asked, so that the test questions can")
    assert asked("split=test")[0] == {"test"}
    assert asked("split=test,validation")[0] == {"test", "validation"}
    text = trio.read_text(encoding="utf-8")
    trio.write_text(f"{text}split: test\n", encoding="utf-8")
    assert asked()[0] == {"test"}
    trio.write_text(text, encoding="utf-8")
    manifest = task_folder / "task.yaml"
    without = manifest.read_text(encoding="utf-8").replace("validation: validation.jsonl\n", "")
    manifest.write_text(without, encoding="utf-8")
    (task_folder / "validation.jsonl").unlink()
    split, line = asked()
    assert split == {"test"}
    assert line.startswith("task ferry has no validation questions, so the test questions are")


def test_jobs_of_the_same_weights_follow_one_another(sweep: Sweep) -> None:
    runs = "runs={base: [], lora: [lora], t-rag: [lora, rag], rag: [rag], raft: [rag, lora]}"
    assert names(sweep(runs, "lora.r=2,4", "rag.k=1,2")) == [
        "base", "rag+k=1", "rag+k=2",
        "lora+r=2", "t-rag+k=1,r=2", "t-rag+k=2,r=2",
        "lora+r=4", "t-rag+k=1,r=4", "t-rag+k=2,r=4",
        *[f"raft+k={k},r={r}" for r in (2, 4) for k in (1, 2)],
    ]  # fmt: skip


def test_a_sweep_from_end_to_end(
    wattune: Wattune, trio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meters: list[Meter] = []
    init = Meter.__init__

    def counted(self: Meter, *given: Any, **more: Any) -> None:
        meters.append(self)
        init(self, *given, **more)

    monkeypatch.setattr(Meter, "__init__", counted)
    arguments = [
        "sweep",
        trio,
        "decoding.max_tokens=1,3",
        "rag.k=1,2",
        "runs={zero: [], rag: [rag]}",
    ]
    ran = wattune(*arguments)
    assert ran.code == 0, ran.err
    assert len(meters) == 1
    folder = tmp_path / "runs" / "trio-sweep"
    records = load_records(folder)
    assert sorted(record.name for record in records) == [
        *[f"rag+k={k},max_tokens={tokens}" for k in (1, 2) for tokens in (1, 3)],
        "zero+max_tokens=1",
        "zero+max_tokens=3",
    ]
    assert {record.status for record in records} == {"done"}
    assert sum(not stage.reused for record in records for stage in record.stages) == 1
    for record in records:  # each can be run again by itself, to the same key
        (job,) = jobs_of(parse_recipe(record.recipe, name="unused"))
        assert (job.name, job.key) == (record.name, record.key)
    assert "4 validation questions" in ran.out
    table = ran.out[ran.out.index("Quality against energy") :]
    rows = re.findall(r"^ +(\S+=\S+) .* ([\d.]+|–) +(?:yes|no|–) *$", table, re.MULTILINE)
    assert {name for name, _ in rows} == {record.name for record in records}
    assert "wrote runs/trio-sweep/sweep.png" in ran.out.splitlines()
    assert (folder / "sweep.png").read_bytes()[:4] == b"\x89PNG"

    def stop(self: Runner, job: Any) -> NoReturn:
        raise AssertionError(f"{job.name} was finished")

    monkeypatch.setattr(Runner, "_measure", stop)
    again = wattune(*arguments, "--debug", "-o", "plot.svg")
    assert again.code == 0, again.err
    assert "6 of 6 runs were finished before and are reused" in " ".join(again.err.split())
    assert "max_tokens=3" in (tmp_path / "plot.svg").read_text(encoding="utf-8")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    (folder / "sweep.png").unlink()
    bare = wattune(*arguments, "--no-progress")
    assert bare.code == 0
    assert "Quality against energy" in bare.out
    assert bare.err == (
        "runs/trio-sweep/sweep.png is not drawn: plots need matplotlib, which is not installed: "
        "pip install 'wattune[plot]'\n"
    )
    assert not (folder / "sweep.png").exists()


def test_the_verb_refuses_what_it_cannot_do_before_it_runs(
    wattune: Wattune, trio: Path, tmp_path: Path
) -> None:
    ran = wattune("sweep", trio, "rag.k=1,2", "-o", "plot.gif")
    assert (ran.code, ran.err) == (2, "error: plot.gif: the ending says the format; .png or .svg\n")
    ran = wattune("sweep", trio)
    assert ran.code == 2
    assert "use `wattune compare`" in ran.err
    assert not (tmp_path / "runs").exists()


def test_a_sweep_of_which_no_run_can_be_done_is_an_error(
    wattune: Wattune, trio: Path, tmp_path: Path
) -> None:
    few = "runs={few: [prompt]}"
    ran = wattune("sweep", trio, few, "prompt.shots=50,60", "--quick", "--no-progress")
    assert ran.code == 2
    assert "few+shots=50 skipped: prompt.shots is 50 and the task has 24 training" in ran.out
    plot = "runs/trio-quick-sweep/sweep.png"
    assert ran.err == f"{plot} is not drawn: no point has both a quality and an energy\n"
    assert not (tmp_path / plot).exists()
