"""Local folders: what a model folder must hold, and the digest that pins it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from wattune.errors import ModelError
from wattune.models.fetch import resolve
from wattune.models.folders import check_folder, folder_revision


def test_a_folder_is_named_by_its_content_not_its_place(
    cache: Path, tiny: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere" / "other-name"
    shutil.copytree(tiny, copy)
    found = resolve(str(copy))
    assert (found.name, found.folder, found.source) == ("other-name", copy, "folder")
    assert found.revision == resolve(str(tiny)).revision


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "chat_template.jinja"])
def test_every_file_that_decides_answers_counts(
    cache: Path, tiny: Path, tmp_path: Path, name: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny, copy)
    before = folder_revision(copy)
    with (copy / name).open("ab") as stream:
        stream.write(b" ")
    assert folder_revision(copy) != before


def test_digests_are_remembered_until_the_file_changes(
    cache: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny, copy)
    long_ago = time.time() - 60
    for path in copy.iterdir():
        os.utime(path, (long_ago, long_ago))
    revision = folder_revision(copy)
    with monkeypatch.context() as patch:
        patch.setattr("wattune.models.folders.file_digest", None)
        assert folder_revision(copy) == revision
    os.utime(copy / "config.json", (long_ago + 1, long_ago + 1))
    assert folder_revision(copy) == revision


def test_folders_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        check_folder(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="is an adapter, not a model"):
        check_folder(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"no safetensors.*pytorch_model\.bin is a pickle"):
        check_folder(tmp_path)


def test_a_missing_shard_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    index = '{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
    (tmp_path / "model.safetensors.index.json").write_text(index)
    (tmp_path / "model-1.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="are missing"):
        check_folder(tmp_path)
    (tmp_path / "model-2.safetensors").write_bytes(b"")
    check_folder(tmp_path)
