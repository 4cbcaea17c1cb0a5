"""Stages: whole or absent, built once, and their bills outlive them."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from wattune.errors import StorageError
from wattune.files import remove_leftovers
from wattune.measure.record import Bill
from wattune.stages import MANIFEST, StageManifest, StageRef, StageStore


@pytest.fixture
def store(tmp_path: Path) -> StageStore:
    return StageStore(tmp_path / "stages")


def manifest(key: str = "k1", **more: Any) -> StageManifest:
    bill = Bill(energy_j=5.0, duration_s=2.0)
    return StageManifest(key=key, strategy="lora", inputs={"seed": 0}, bill=bill, **more)


def build(store: StageStore, key: str = "k1", text: str = "weights") -> StageManifest:
    with store.building(key) as partial:
        assert partial is not None
        (partial / "file").write_text(text)
        return store.finish(partial, manifest(key))


def fail(store: StageStore, error: Exception) -> NoReturn:
    """Begin to build a stage, and raise `error` half-way."""
    with store.building("k1") as partial:
        assert partial is not None
        (partial / "file").write_text("half")
        raise error


def kept(store: StageStore) -> list[str]:
    """What lies in the store beside the locks."""
    return sorted(path.name for path in store.root.iterdir() if path.suffix != ".lock")


def test_a_finished_stage_is_found_with_its_bill_and_size(store: StageStore) -> None:
    assert store.manifest("k1") is None
    made = build(store)
    assert made.artefact_bytes == len("weights")
    assert store.manifest("k1") == made
    assert (store.folder(StageRef(key="k1")) / "file").read_text() == "weights"
    with store.building("k1") as partial:
        assert partial is None


def test_a_build_that_raises_leaves_nothing(store: StageStore) -> None:
    with pytest.raises(RuntimeError, match="boom"):
        fail(store, RuntimeError("boom"))
    assert kept(store) == []
    with pytest.raises(StorageError, match="run its recipe again"):
        store.folder(StageRef(key="k1"))


def test_a_build_left_without_finishing_keeps_nothing(store: StageStore) -> None:
    with store.building("k1") as partial:
        assert partial is not None
    assert kept(store) == []


def test_a_disk_that_fills_while_building_is_told_and_leaves_nothing(store: StageStore) -> None:
    with pytest.raises(StorageError, match="the disk is full"):
        fail(store, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert kept(store) == []


def test_a_folder_that_cannot_be_locked_is_told(
    store: StageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(StorageError, match="cannot be written"), store.building("k1"):
        pass


def test_what_a_killed_build_left_is_cleared(store: StageStore) -> None:
    partial = store.root / "k1.partial"
    partial.mkdir(parents=True)
    (partial / "old").write_text("half")
    assert store.manifest("k1") is None
    build(store)
    assert sorted(path.name for path in (store.root / "k1").iterdir()) == ["file", MANIFEST]
    assert kept(store) == ["k1"]


@pytest.mark.parametrize("damage", ["", "{", '{"key": "k1"}', "[]"])
def test_a_damaged_manifest_counts_as_absent_and_is_built_again(
    store: StageStore, damage: str
) -> None:
    build(store, text="old")
    (store.root / "k1" / MANIFEST).write_text(damage)
    assert store.manifest("k1") is None
    build(store, text="new")
    assert (store.root / "k1" / "file").read_text() == "new"


def test_pruning_removes_files_and_keeps_bills(store: StageStore) -> None:
    build(store, "k1")
    build(store, "k2")
    count, freed = store.prune()
    assert count == 2
    assert freed > 2 * len("weights")
    assert store.manifest("k1") is None
    bill = json.loads((store.root / "pruned" / "k1.json").read_text())["bill"]
    assert bill == {"energy_j": 5.0, "duration_s": 2.0, "net_energy_j": 0.0}
    assert store.prune() == (0, 0)


def test_what_a_killed_build_can_go_on_from_outlives_it_until_the_stage_is_finished(
    store: StageStore,
) -> None:
    checkpoint = store.unfinished_folder("k1") / "checkpoint-10" / "model"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("weights")
    with pytest.raises(RuntimeError, match="boom"):
        fail(store, RuntimeError("boom"))
    remove_leftovers(store.root)
    assert checkpoint.read_text() == "weights"
    assert store.prune() == (0, 0)
    assert store.unfinished() == [store.unfinished_folder("k1")]
    build(store)
    assert kept(store) == ["k1"]
    assert store.unfinished() == []


def test_pruning_removes_what_is_unfinished_but_not_what_is_being_built(store: StageStore) -> None:
    for key in ("k1", "k2"):
        store.unfinished_folder(key).mkdir(parents=True)
        (store.unfinished_folder(key) / "model").write_text("weights")
    with store.building("k2"):
        assert store.prune_unfinished() == (1, len("weights"))
        assert store.unfinished() == [store.unfinished_folder("k2")]
    assert store.prune_unfinished() == (1, len("weights"))
    assert store.prune_unfinished() == (0, 0)


def test_the_cache_tells_what_is_unfinished_and_prunes_it(wattune: Any, cache: Path) -> None:
    assert "unfinished" not in wattune("cache", "info").out
    left = StageStore().unfinished_folder("k1") / "checkpoint-10"
    left.mkdir(parents=True)
    (left / "model").write_bytes(bytes(2_000_000))
    told = next(row for row in wattune("cache", "info").out.split("\n") if "unfinished" in row)
    assert told.split()[:3] == ["2.0", "MB", "1"]
    assert "removed 1 unfinished stage(s), 2.0 MB" in wattune("cache", "prune").out
    assert not left.exists()


def test_two_builders_of_one_stage_build_it_once(store: StageStore) -> None:
    begun = threading.Barrier(2)
    built: list[int] = []

    def work(number: int) -> None:
        begun.wait()
        with StageStore(store.root).building("k1") as partial:
            if partial is not None:
                built.append(number)
                time.sleep(0.1)
                (partial / "file").write_text("weights")
                store.finish(partial, manifest())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(built) == 1
    assert kept(store) == ["k1"]
