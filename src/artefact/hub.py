"""A saved System on the Hugging Face hub: only when asked, private unless asked otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import InputError, ModelError
from ..models.hub import HUB_ID
from ..models.quiet import quiet_hub
from .manifest import MANIFEST


def check_upload(repo: str) -> None:
    """Raise `InputError` unless `repo` reads like ``org/name`` and there is a token."""
    match = HUB_ID.fullmatch(repo)
    if match is None or match["revision"]:
        raise InputError(f'"{repo}" is no name of a repository; it looks like "org/name"')
    with quiet_hub():
        from huggingface_hub import get_token

        if get_token() is None:
            raise InputError(
                "the hub needs to know who uploads; log in with `hf auth login`, or set HF_TOKEN"
            )


def push_to_hub(folder: Path, repo: str, *, public: bool = False) -> str:
    """Upload a folder that `save_system` wrote to `repo` (``org/name``); the address it has there.

    The repository is made where there is none, private unless `public`. One that is public already
    is refused without `public`. Raises `InputError` as `check_upload` and for another folder,
    `ModelError` where the hub refuses or cannot be reached.
    """
    check_upload(repo)
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder} has no {MANIFEST}; save a system there first")
    with quiet_hub():
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

        endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        api: Any = HfApi(endpoint=endpoint, library_name="wattune")
        try:
            api.create_repo(repo, private=not public, exist_ok=True)
            if not public and api.model_info(repo).private is False:
                raise InputError(
                    f"{repo} is there already and public, so everybody would see this system; "
                    "take another name, or say --public"
                )
            api.upload_folder(
                repo_id=repo, folder_path=str(folder), commit_message="System saved by wattune"
            )
        except HFValidationError as error:
            raise InputError(f'"{repo}" is no name of a repository: {error}') from error
        except OfflineModeIsEnabled as error:
            raise ModelError("HF_HUB_OFFLINE is set, so nothing can be uploaded") from error
        except HfHubHTTPError as error:
            raise ModelError(f"{repo}: {_refusal(error)}") from error
        except InputError:
            raise
        except Exception as error:  # whatever the transport raises; see models/hub.py
            raise ModelError(
                f"{repo}: the upload broke off ({type(error).__name__}: {error}); the folder is "
                f"saved, so go on with `hf upload {repo} {folder}`"
            ) from error
    return f"{endpoint.rstrip('/')}/{repo}"


def _refusal(error: Any) -> str:
    status = error.response.status_code
    if status == 401:
        return "the hub does not know this token (status 401); log in with `hf auth login`"
    if status == 403:
        return "this token may not write there (status 403); make one with write access"
    return f"the hub refused the upload (status {status}: {str(error).splitlines()[0]})"
