"""A saved System answers the same from another cache, and nothing is ever half-saved."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from wattune import load_system
from wattune.artefact import saving
from wattune.artefact.manifest import MANIFEST, read_manifest, stages_of
from wattune.artefact.saving import save_system
from wattune.context_sources import IndexSource
from wattune.errors import CannotRun, InputError, StorageError
from wattune.files import file_digest
from wattune.measure.record import Record
from wattune.prompt_file import read_prompt
from wattune.stages import StageRef, StageStore
from wattune.system import EndpointSystem, LocalSystem, ModelRef

Answers = Callable[..., list[str]]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Go on with an empty cache, as on another machine."""

    def move() -> Path:
        shutil.rmtree(tmp_path / "cache")
        monkeypatch.setenv("WATTUNE_CACHE", str(tmp_path / "other-cache"))
        return tmp_path / "other-cache"

    return move


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.iterdir() if folder.name in path.name)


def bills(system: LocalSystem) -> list[Any]:
    """What the manifests of a System's stages tell: not their bytes, for an adapter's configuration
    names the base otherwise."""
    found = [StageStore().manifest(ref.key) for ref in stages_of(system).values()]
    return [(m.strategy, m.inputs, m.bill, m.work, m.details) for m in found if m]


@pytest.mark.parametrize("kind", ["adapted", "weighted", "sourced", "classical"])
def test_it_answers_the_same_from_another_cache(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    answers: Answers,
    elsewhere: Callable[[], Path],
    base: LocalSystem,
    without_keys: Callable[[Any], str],
    kind: str,
) -> None:
    system: LocalSystem = request.getfixturevalue(kind)
    before, made = answers(system), bills(system)
    assert before != answers(base)
    system.save(tmp_path / "saved")
    elsewhere()
    loaded = load_system(str(tmp_path / "saved"))
    assert without_keys(loaded) == without_keys(system)
    assert answers(loaded) == before
    assert bills(loaded) == made
    assert load_system(str(tmp_path / "saved")) == loaded


def test_the_folder_is_laid_out_to_be_read(sourced: LocalSystem, tmp_path: Path) -> None:
    folder = sourced.save(tmp_path / "saved")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "adapter", "documents", "index", "nearest_shots", "prompt.yaml", MANIFEST,
        "tokenizer", "tree",
    ]  # fmt: skip
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert content["base"] == sourced.model.plain()
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert set(content["files"]) == files - {"README.md", MANIFEST}
    for name, facts in content["files"].items():
        assert facts["bytes"] == (folder / name).stat().st_size
        assert facts["sha256"] == file_digest(folder / name)
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in files)
    prompt = read_prompt(folder / "prompt.yaml")
    assert prompt.template == sourced.prompt
    assert [s.question for s in prompt.shots] == [s.question for s in sourced.shots]
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "tiny-chat"  # no path of this machine


def test_merged_weights_are_one_ordinary_model(
    sourced: LocalSystem, tmp_path: Path, answers: Answers, elsewhere: Callable[[], Path]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    before = answers(sourced)
    folder = sourced.save(tmp_path / "merged", merge=True)
    elsewhere()
    loaded = load_system(str(folder))
    assert loaded.adapters == ()
    assert loaded.model.name == str(folder)
    assert answers(loaded) == before
    assert AutoModelForCausalLM.from_pretrained(folder).config.hidden_size == 32
    assert AutoTokenizer.from_pretrained(folder).chat_template
    (folder / "adapter_config.json").write_text("{}")  # would be put on when it is opened
    with pytest.raises(StorageError, match=r"adapter_config.json is not in system\.json"):
        load_system(str(folder))


def test_merging_copies_weights_that_are_whole_already(
    weighted: LocalSystem, tmp_path: Path, answers: Answers, store: StageStore
) -> None:
    folder = weighted.save(tmp_path / "merged", merge=True)
    assert weighted.weights is not None
    made = store.folder(weighted.weights) / "model.safetensors"
    assert (folder / "model.safetensors").read_bytes() == made.read_bytes()
    assert answers(load_system(str(folder))) == answers(weighted)


def test_what_cannot_be_merged_or_saved_is_said(
    base: LocalSystem, prompt_tuned: LocalSystem, tmp_path: Path
) -> None:
    with pytest.raises(CannotRun, match="nothing to merge"):
        base.save(tmp_path / "it", merge=True)
    with pytest.raises(CannotRun, match="cannot be merged"):
        prompt_tuned.save(tmp_path / "it", merge=True)
    pruned = base.model_copy(update={"adapters": (StageRef(key="0" * 16),)})
    with pytest.raises(StorageError, match="run its recipe again"):
        pruned.save(tmp_path / "it")
    endpoint = EndpointSystem.model_validate(
        {"endpoint": {"endpoint": "http://127.0.0.1:1/v1", "model": "m"}, "refusal": "No."}
    )
    with pytest.raises(CannotRun, match="saving a system needs the model's weights"):
        endpoint.save(tmp_path / "it")
    assert left(tmp_path / "it") == []


def test_a_record_of_another_system_is_refused(adapted: LocalSystem, tmp_path: Path) -> None:
    record = Record(name="lora", key="k", system=adapted.plain())
    assert "# own" in (adapted.save(tmp_path / "own", record=record) / "README.md").read_text()
    moved = adapted.model_copy(update={"model": ModelRef(name="x", revision=adapted.revision)})
    same = record.model_copy(update={"system": moved.plain()})  # the same weights elsewhere
    adapted.save(tmp_path / "moved", record=same)
    other = adapted.model_copy(update={"adapters": (), "refusal": "No."})
    wrong: dict[str, dict[str, Any]] = {
        r"another system \(other refusal, adapters\)": {"system": other.plain()},
        "another system": {"system": {}},
        "not finished": {"status": "failed"},
    }
    for message, changes in wrong.items():
        with pytest.raises(InputError, match=message):
            adapted.save(tmp_path / "it", record=record.model_copy(update=changes))
    assert left(tmp_path / "it") == []


def test_a_folder_with_something_in_it_is_left_alone(base: LocalSystem, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for place in (tmp_path / "mine", tmp_path / "mine" / "letter.txt"):
        with pytest.raises(StorageError, match="not empty"):
            base.save(place)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    (tmp_path / "empty").mkdir()
    assert (base.save(tmp_path / "empty") / MANIFEST).is_file()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_locked_disk_leaves_nothing(
    adapted: LocalSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", fail)
        with pytest.raises(StorageError, match=r"disk is full|cannot be written"):
            adapted.save(tmp_path / "saved")
    assert left(tmp_path / "saved") == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_told(base: LocalSystem, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(StorageError, match="cannot be written"):
        base.save(tmp_path / "locked" / "saved")


def test_of_two_saves_at_once_one_is_whole_and_one_is_told(
    base: LocalSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, faults = threading.Barrier(2), []
    write: Any = vars(saving)["write_json"]

    def wait(path: Path, content: Any) -> None:
        write(path, content)
        if path.name == MANIFEST:
            both.wait(timeout=60)

    monkeypatch.setattr(saving, "write_json", wait)

    def save() -> None:
        try:
            save_system(base, tmp_path / "saved")
        except StorageError as error:
            faults.append(str(error))

    threads = [threading.Thread(target=save) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(faults) == 1
    assert "filled by another program" in faults[0]
    assert left(tmp_path / "saved") == ["saved"]
    assert load_system(str(tmp_path / "saved")) == base


def test_stages_that_share_a_name_get_numbers(base: LocalSystem) -> None:
    refs = [StageRef(key=f"{n:016x}") for n in range(3)]
    sources = tuple(IndexSource(stage=ref, embedder="e", k=1) for ref in (*refs[:2], refs[0]))
    system = base.model_copy(update={"adapters": tuple(refs[1:]), "sources": sources})
    assert {name: ref.key[-1] for name, ref in stages_of(system).items()} == {
        "index": "0",
        "index-2": "1",
        "adapter": "2",
    }


def test_the_manifest_is_read_back(base: LocalSystem, tmp_path: Path) -> None:
    saved, system = read_manifest(base.save(tmp_path / "saved"))
    assert system == base
    assert (saved.merged, saved.stages, saved.schema_version) == (False, {}, 1)
