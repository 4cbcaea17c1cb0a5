"""What is loaded is what was saved: damage, other bases and hostile folders are refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune import load_recipe, load_system
from wattune.artefact.manifest import MANIFEST, MOST_BYTES
from wattune.errors import CannotRun, InputError, ModelError, StorageError
from wattune.job import jobs_of
from wattune.stages import StageStore
from wattune.system import Decoding, LocalSystem

Answers = Callable[..., list[str]]


@pytest.fixture
def saved(adapted: LocalSystem, tmp_path: Path) -> Path:
    """A saved System with an adapter; its stage is in the cache no more."""
    folder = adapted.save(tmp_path / "saved")
    shutil.rmtree(StageStore().root)
    return folder


def rewrite(folder: Path, change: Callable[[Any], object]) -> None:
    path = folder / MANIFEST
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def listed(folder: Path, name: str, text: bytes) -> None:
    """Put a file into the folder and into its manifest, as somebody who means harm would."""
    (folder / name).write_bytes(text)
    facts = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    rewrite(folder, lambda content: content["files"].update({name: facts}))


def refused(folder: Path, match: str, error: type[InputError] = StorageError) -> None:
    with pytest.raises(error, match=match):
        load_system(str(folder))
    stages = StageStore().root  # and nothing of it came into the cache
    assert not stages.is_dir() or [p for p in stages.iterdir() if p.suffix != ".lock"] == []


def test_a_damaged_file_is_named_with_both_digests(saved: Path) -> None:
    path = saved / "adapter" / "adapter_model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    found, wanted = (hashlib.sha256(c).hexdigest() for c in (path.read_bytes(), whole))
    refused(saved, rf"adapter_model\.safetensors is damaged .*{found}.*{wanted}")
    path.write_bytes(whole[:-1])
    refused(saved, rf"has {len(whole) - 1:,} bytes and system\.json says {len(whole):,}")
    path.unlink()
    refused(saved, r"adapter_model\.safetensors is missing")


@pytest.mark.parametrize(
    "name",
    ["../outside.json", "/etc/outside.json", "adapter/../../outside.json", "adapter\\..\\x.json",
     "C:/x.json", "adapter//x.json", ".hidden/x.json", "", "adapter/x\0.json"],
)  # fmt: skip
def test_a_path_that_climbs_out_is_refused(saved: Path, name: str) -> None:
    facts = {"bytes": 1, "sha256": "0" * 64}
    rewrite(saved, lambda content: content["files"].update({name: facts}))
    refused(saved, "only plain names within the folder")


def test_links_are_refused(saved: Path, tmp_path: Path) -> None:
    for path in (saved / "adapter" / "stage.json", saved / "adapter", saved / MANIFEST):
        real = path.rename(tmp_path / "real")
        path.symlink_to(real)
        refused(saved, f"{path.name} is a link")
        path.unlink()
        real.rename(path)
    (saved / "adapter" / "more.json").symlink_to("/etc/passwd")
    refused(saved, r"more\.json is not in system\.json")


def test_pickles_and_code_are_refused(saved: Path) -> None:
    (saved / "adapter" / "adapter_model.bin").write_bytes(b"pickle")
    refused(saved, "here stands what was saved and no more")
    listed(saved, "adapter/adapter_model.bin", b"pickle")
    refused(saved, r"adapter_model\.bin: .*may run code")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[]", "a JSON object is expected, not a list"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        (" " * (MOST_BYTES + 1), "it is not read"),
        ("{}", "schema_version is None"),
        ('{"schema_version": 99}', "update wattune"),
        ('{"schema_version": 1, "system": 7}', "no manifest of a system"),
    ],
    ids=["list", "cut", "deep", "huge", "empty", "newer", "types"],
)
def test_a_manifest_that_is_none_is_refused(saved: Path, text: str, match: str) -> None:
    (saved / MANIFEST).write_text(text, encoding="utf-8")
    refused(saved, match)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda c: c["stages"].update(adapter="../../x"), r"stages\.adapter"),
        (lambda c: c["stages"].update({"../x": "0" * 16}), r"stages"),
        (lambda c: c["stages"].clear(), "the folder holds none"),
        (lambda c: c["system"]["adapters"].append({"key": "../x"}), r"stands on the stages \.\./x"),
        (lambda c: c["files"]["tokenizer/tokenizer.json"].update(bytes=-1), "bytes"),
        (lambda c: c["system"].update(weights={"key": 3}), r"weights\.key"),
    ],
)
def test_a_manifest_that_lies_is_refused(
    saved: Path, change: Callable[[Any], object], match: str
) -> None:
    rewrite(saved, change)
    refused(saved, match)


def test_a_folder_cannot_name_an_endpoint_to_send_keys_to(saved: Path) -> None:
    endpoint = {"endpoint": "http://127.0.0.1:1/v1", "model": "m", "key_env": "SECRET"}
    system = {"kind": "endpoint", "endpoint": endpoint, "refusal": "No."}
    rewrite(saved, lambda content: content.update(system=system))
    with pytest.raises(CannotRun, match="a saved system needs the model's weights"):
        load_system(str(saved))


def test_the_manifest_of_another_stage_is_refused(saved: Path) -> None:
    text = (saved / "adapter" / "stage.json").read_bytes().replace(b'"key": "', b'"key": "0')
    listed(saved, "adapter/stage.json", text)
    refused(saved, "not the manifest of stage")


def test_an_adapter_of_another_base_is_refused_with_both_revisions(
    saved: Path, tiny: Path, base: LocalSystem
) -> None:
    other = load_system(str(tiny)).model.revision
    with pytest.raises(ModelError, match=f"{base.model.revision}, and .* has revision {other}"):
        load_system(str(saved), base=str(tiny))
    assert not StageStore().root.is_dir()


def test_a_base_that_moved_is_named(
    saved: Path,
    tmp_path: Path,
    adapted: LocalSystem,
    answers: Answers,
    chat_model: Path,
    without_keys: Callable[[Any], str],
) -> None:
    rewrite(saved, lambda content: content["system"]["model"].update(name=str(tmp_path / "gone")))
    refused(
        saved, rf"at revision {adapted.model.revision}, which is not to be had.*base=", ModelError
    )
    loaded = load_system(str(saved), base=str(chat_model))
    assert without_keys(loaded) == without_keys(adapted)
    assert len(answers(loaded)) == 5


def test_another_embedder_under_the_same_name_is_refused(saved: Path, embedder: str) -> None:
    rewrite(saved, lambda content: content.update(embedders={embedder: "another"}))
    refused(saved, "retrieves with .* at revision another, and here it has", ModelError)


def test_a_stage_with_the_same_key_and_other_content_keeps_the_users_own(
    adapted: LocalSystem, tmp_path: Path, answers: Answers
) -> None:
    before, folder = answers(adapted), adapted.save(tmp_path / "saved")
    assert load_system(str(folder)) == adapted  # what is in the cache already is used
    own = StageStore().folder(adapted.adapters[0]) / "adapter_model.safetensors"
    from safetensors.torch import load_file, save_file

    mine = {name: weight * 0 for name, weight in load_file(own).items()}
    save_file(mine, own, metadata={"format": "pt"})
    kept = own.read_bytes()
    loaded = load_system(str(folder))
    assert loaded.adapters != adapted.adapters
    assert answers(loaded) == before != answers(adapted)
    assert own.read_bytes() == kept


def test_decoding_and_refusal_are_kept_unless_given(saved: Path, base: LocalSystem) -> None:
    assert load_system(str(saved)).decoding == base.decoding
    other = load_system(str(saved), refusal="No.", decoding=Decoding(max_tokens=9))
    assert (other.refusal, other.decoding.max_tokens) == ("No.", 9)


def test_a_recipe_takes_a_saved_system_as_its_model(saved: Path, recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8").replace("decoding: {max_tokens: 4}\n", "")
    lines = [f"model: {saved}" if line.startswith("model") else line for line in text.split("\n")]
    recipe.write_text("\n".join(lines), encoding="utf-8")
    job, _ = jobs_of(load_recipe(str(recipe)))
    assert isinstance(job.system, LocalSystem)
    assert job.system.adapters
    assert job.system.decoding.max_tokens == 4  # as it was saved
    assert job.recipe is not None
    assert job.recipe["decoding"]["max_tokens"] == 4
    changed, _ = jobs_of(load_recipe(str(recipe), ["decoding.max_tokens=7"]))
    assert changed.system.decoding.max_tokens == 7


def test_an_adapter_of_another_program_is_loaded(
    adapted: LocalSystem, tmp_path: Path, answers: Answers, chat_model: Path, tiny: Path
) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(StageStore().folder(adapted.adapters[0]), folder)
    (folder / "stage.json").unlink()
    loaded = load_system(str(folder), refusal=adapted.refusal, decoding=adapted.decoding)
    assert loaded.model == adapted.model  # PEFT wrote where the base lay
    assert answers(loaded) == answers(adapted)
    assert load_system(str(folder)).adapters == loaded.adapters
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "base_model_name_or_path": None}), encoding="utf-8")
    with pytest.raises(ModelError, match="does not say which model it was made for"):
        load_system(str(folder))
    assert load_system(str(folder), base=str(tiny)).model == load_system(str(tiny)).model
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"without adapter_model\.safetensors"):
        load_system(str(folder), base=str(chat_model))
