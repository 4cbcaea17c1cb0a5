"""Packing: a recipe that runs elsewhere as it did here, and its records brought back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune.audit.bundle import Manifest, Needed, write_bundle
from wattune.audit.packing import measured_at, named_code, other_revision, pack, unpack
from wattune.compare import compare
from wattune.errors import InputError, StorageError
from wattune.files import shipped_folder
from wattune.measure.store import load_answers, load_records
from wattune.models.folders import folder_revision
from wattune.recipe_file import load_recipe
from wattune.tasks.load import load_task

Wattune = Callable[..., Any]
SHIPPED = sorted(path.stem for path in shipped_folder().glob("*.yaml"))


def test_a_packed_recipe_runs_elsewhere_and_its_records_compare_as_equal(
    wattune: Wattune, recipe: Path, task_folder: Path, tmp_path: Path
) -> None:
    prompt = tmp_path / "short.prompt.yaml"
    prompt.write_text("question: 'In one word: {question}'\n", encoding="utf-8")
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace("{shots: 2}", f"{{shots: 2, file: {prompt.name}}}"))
    ran = wattune("compare", recipe, "--no-progress", "--runs", "here")
    assert ran.code == 0, ran.err
    made = pack(str(recipe), [], tmp_path / "there.zip")
    assert made.left_out == ("place",)
    unpack(tmp_path / "there.zip", tmp_path / "elsewhere")
    for own in (prompt, recipe):
        own.unlink()
    shutil.rmtree(task_folder)

    away = tmp_path / "elsewhere" / "recipe.yaml"
    ran = wattune("compare", away, "place=DEU", "--no-progress", "--runs", "away")
    assert ran.code == 0, ran.err
    here, there = load_records(tmp_path / "here"), load_records(tmp_path / "away")
    assert [record.key for record in here] == [record.key for record in there]
    assert [record.fingerprints for record in here] == [record.fingerprints for record in there]
    assert {record.carbon.place for record in there if record.carbon} == {"DEU"}

    pack(str(tmp_path / "away"), [], tmp_path / "back.zip")
    unpack(tmp_path / "back.zip", tmp_path / "here" / "brought")
    back = load_records(tmp_path / "here" / "brought")
    assert back == there
    for record in back:
        (file,) = (tmp_path / "here" / "brought").rglob(f"{record.name}-*.json")
        assert len(load_answers(file, record)) == record.answers
    assert len(list((tmp_path / "here" / "brought").rglob("ledger/*.json"))) == 2
    (told,) = measured_at(tmp_path / "here" / "brought")
    assert told.startswith("2 record(s) measured at DEU on ")
    comparison = compare([*here, *back])
    assert len(comparison.groups) == 1  # the same questions and scorer
    for metric in comparison.metrics:
        assert all(
            one.quality[metric] == other.quality[metric]
            for one, other in zip(here, back, strict=True)
        )
    assert len(compare([*there, *back]).rows) == 2  # the very same records


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_is_the_same_when_unpacked(tmp_path: Path, name: str) -> None:
    given = load_recipe(name)
    if str(given.settings.task).startswith("hub:"):
        pytest.skip("its task is fetched")
    made = pack(name, [], tmp_path / "it.zip")
    unpack(tmp_path / "it.zip", tmp_path / "it")
    found = load_recipe(str(tmp_path / "it" / "recipe.yaml"))
    assert (found.name, found.runs) == (given.name, given.runs)
    of_the_machine = {"place", "grid", "accounting", "intensity_g_per_kwh", "task"}
    assert found.settings.model_dump(exclude=of_the_machine) == given.settings.model_dump(
        exclude=of_the_machine
    )
    tasks = [load_task(str(one.settings.task)) for one in (given, found)]
    assert tasks[0].fingerprint == tasks[1].fingerprint
    assert made.models[0].revision
    assert [other_revision(model) for model in made.models] == [None] * len(made.models)


def test_overrides_are_packed_and_what_is_of_the_machine_is_not(
    tmp_path: Path, recipe: Path
) -> None:
    changes = ["limit.questions=3", "accounting={boundary: owned, pue: 1.2}", "seeds=[0,1]"]
    made = pack(str(recipe), changes, tmp_path / "it.zip")
    assert made.left_out == ("place", "accounting")
    unpack(tmp_path / "it.zip", tmp_path / "it")
    settings = load_recipe(str(tmp_path / "it" / "recipe.yaml")).settings
    assert (settings.limit.questions, settings.seeds) == (3, (0, 1))
    assert (settings.place, settings.accounting.boundary) == (None, None)
    assert made.models[0].origin == "folder"


def test_only_what_the_task_reads_is_packed(
    tmp_path: Path, recipe: Path, task_folder: Path
) -> None:
    (task_folder / "secret.txt").write_text("not of the task", encoding="utf-8")
    (task_folder / "documents" / ".draft.md").write_text("hidden", encoding="utf-8")
    (task_folder / "documents" / "photo.png").write_bytes(b"\x89PNG")
    revision = task_folder / "later"
    (revision / "documents").mkdir(parents=True)
    (revision / "documents" / "fares.md").write_text("# Fares\n\nFive crowns.\n", encoding="utf-8")
    manifest = task_folder / "task.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8") + "revision: later\n")
    made = pack(str(recipe), [], tmp_path / "it.zip")
    names = set(made.files)
    assert {"recipe.yaml", "task/task.yaml", "task/documents/shore/desk.md"} <= names
    assert "task/later/documents/fares.md" in names
    assert not {name for name in names if "secret" in name or "draft" in name or "photo" in name}


def test_a_task_of_one_file_keeps_its_columns(tmp_path: Path, chat_model: Path) -> None:
    rows = "".join(f"What is {n} and {n}?,{2 * n}\n" for n in range(20))
    (tmp_path / "sums.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    path = tmp_path / "sums.yaml"
    path.write_text(
        "task: {source: sums.csv, columns: {question: text, answers: label}}\n"
        f"model: {chat_model}\nstrategies: []\n",
        encoding="utf-8",
    )
    pack(str(path), [], tmp_path / "it.zip")
    unpack(tmp_path / "it.zip", tmp_path / "it")
    source: Any = load_recipe(str(tmp_path / "it" / "recipe.yaml")).settings.task
    found = load_task(source.source, columns=source.columns)
    columns = {"question": "text", "answers": "label"}
    assert found.fingerprint == load_task(tmp_path / "sums.csv", columns=columns).fingerprint


def test_a_model_that_is_another_one_here_is_told(tmp_path: Path, chat_model: Path) -> None:
    there = Needed(name=str(chat_model), origin="folder", revision="of another folder")
    assert other_revision(there) == folder_revision(chat_model)
    same = there.model_copy(update={"revision": folder_revision(chat_model)})
    away = there.model_copy(update={"name": str(tmp_path)})  # no model lies there
    assert (other_revision(same), other_revision(away)) == (None, None)


def test_names_that_are_one_on_some_system_are_not_packed(
    tmp_path: Path, recipe: Path, task_folder: Path
) -> None:
    for name in ("A.txt", "a.txt"):
        (task_folder / "documents" / name).write_text(f"A page, {name}.", encoding="utf-8")
    with pytest.raises(InputError, match=r"A\.txt.* are one file on some systems") as told:
        pack(str(recipe), [], tmp_path / "it.zip")
    assert told.type is InputError
    assert not (tmp_path / "it.zip").exists()


def test_functions_that_a_run_would_call_are_named(tmp_path: Path, chat_model: Path) -> None:
    folder = tmp_path / "there"
    (folder / "task").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(
        "runs: {a: [{rag: {embedder: 'langchain:my.package:embed'}},"
        " {langchain_rag: {factory: 'my.stores:open@this_machine'}}]}\n"
        "decoding: {stop: ['Answer: x']}\n"
    )
    (folder / "task" / "task.yaml").write_text(
        "metrics: [token_f1, 'mine.scores:neat', 'judge:my.judge:strict']\n"
    )
    assert named_code(folder) == [
        "mine.scores:neat", "my.judge:strict", "my.package:embed", "my.stores:open",
    ]  # fmt: skip


def test_records_that_are_none_are_refused(tmp_path: Path) -> None:
    about = Manifest(kind="records", name="it", wattune=None)
    whole = {"schema_version": 4, "name": "a", "key": "b", "surprise": 1}
    for name, content, sentence in (
        ("a.py", b"print(1)", "no file of a record"),
        ("a-b.json", json.dumps(whole).encode(), "damaged"),
        ("ledger/a.json", b"{}", "no entry of a ledger"),
    ):
        write_bundle(tmp_path / "it.zip", about, {name: content})
        with pytest.raises(StorageError, match=sentence):
            unpack(tmp_path / "it.zip", tmp_path / "there")
        assert not (tmp_path / "there").exists()
    write_bundle(tmp_path / "it.zip", Manifest(kind="recipe", name="it", wattune=None), {})
    with pytest.raises(StorageError, match=r"holds a recipe\.yaml"):
        unpack(tmp_path / "it.zip", tmp_path / "there")


def test_there_must_be_something_to_pack(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no records there"):
        pack(str(tmp_path), [], tmp_path / "it.zip")
    with pytest.raises(InputError, match="overrides are for recipes"):
        pack(str(tmp_path), ["lora.r=8"], tmp_path / "it.zip")
    with pytest.raises(InputError, match="no shipped recipe"):
        pack("nowhere", [], tmp_path / "it.zip")
    assert not (tmp_path / "it.zip").exists()


def test_several_models_are_packed_by_their_names(tmp_path: Path, recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8").splitlines()
    text[1] = "models: [smollm2-135m-q4, someone/model@0123abc]"
    recipe.write_text("\n".join(text), encoding="utf-8")
    made = pack(str(recipe), [], tmp_path / "it.zip")
    told = {needed.name: (needed.origin, needed.revision) for needed in made.models}
    assert told["someone/model@0123abc"] == ("hub", "0123abc")
    assert told["smollm2-135m-q4"][0] == "catalogue"
    unpack(tmp_path / "it.zip", tmp_path / "it")
    found = load_recipe(str(tmp_path / "it" / "recipe.yaml"))
    assert found.settings.models == load_recipe(str(recipe)).settings.models
