"""An OpenAI-compatible server as a model."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from ..errors import ModelError
from .completion import Broken, Completion, fields
from .pace import retry_after
from .remote import Passing, RemoteModel

if TYPE_CHECKING:
    import httpx

    from ..endpoint_ref import EndpointRef
    from ..prompt import Message
    from ..system import Decoding


def read_key(ref: EndpointRef) -> SecretStr | None:
    """The key from the environment, None where the endpoint takes none.

    Raises `ModelError`, which shows neither the key nor the name that may be one, where it is not
    set or cannot be sent.
    """
    if ref.key_env is None:
        return None
    key = os.environ.get(ref.key_env, "").strip()
    variable = "the environment variable that `key_env` names"
    if not key:
        raise ModelError(f"{ref.name}: {variable} is not set; it holds the key")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ModelError(f"{ref.name}: {variable} holds no key: odd characters")
    return SecretStr(key)


class EndpointModel(RemoteModel):
    """A server that is asked by `POST <endpoint>/chat/completions`."""

    def __init__(self, ref: EndpointRef) -> None:
        import httpx

        self._key = read_key(ref)
        self._client = httpx.AsyncClient(
            base_url=f"{ref.endpoint}/",
            timeout=None,  # each try is bounded as a whole
            limits=httpx.Limits(max_connections=ref.concurrency),
            trust_env=not ref.on_this_machine,  # proxies, of which this machine needs none
        )
        super().__init__(ref)

    def _request(self, chat: list[Message], decoding: Decoding, seed: int) -> dict[str, Any]:
        return fields(self.ref, chat, decoding, seed)

    async def _ask(self, request: dict[str, Any]) -> Completion:
        import httpx

        body = {name: value for name, value in request.items() if value is not None}
        try:
            return await self._post(body)
        except httpx.ConnectError:
            raise Passing("no connection; is the server running?") from None
        except httpx.HTTPError as error:
            # Not its text: it may quote what was sent or received.
            raise Passing(f"the connection broke ({type(error).__name__})") from None

    async def _post(self, body: dict[str, Any]) -> Completion:
        headers = {"Authorization": f"Bearer {self._key.get_secret_value()}"} if self._key else {}
        began = time.monotonic()
        reply = self._client.stream("POST", "chat/completions", json=body, headers=headers)
        async with reply as response:
            if response.status_code != 200:
                wait_s = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
                raise self._fault(response.status_code, wait_s, await self._quoted(response))
            if not self.ref.stream:
                made = Completion.of_json(await response.aread())
            else:
                made = Completion()
                async for line in response.aiter_lines():
                    if made.feed(line, time.monotonic() - began):
                        break
                if made.finish_reason is None:
                    raise Broken("the stream was cut")
        if self._key:
            made.text = made.text.replace(self._key.get_secret_value(), "[key]")
        return made

    async def _quoted(self, response: httpx.Response) -> str:
        """What the server says of a request that it refuses, unless a part of the key is in it."""
        said = (await response.aread())[:2000].decode("utf-8", "replace")
        key = self._key.get_secret_value() if self._key else ""
        if any(key[at : at + 6] in said for at in range(len(key))):
            return ""
        words = "".join(filter(str.isprintable, " ".join(said.split())))
        return f": {words[:300]}" if words else ""

    async def _release(self) -> None:
        await self._client.aclose()


def remote_kind(ref: EndpointRef) -> type[RemoteModel]:
    """What opens an endpoint, its libraries imported: a process pays for them once, and no run."""
    if ref.langchain is not None:
        import langchain_core.language_models  # noqa: F401

        from .langchain_chat import LangchainModel

        return LangchainModel
    import httpx  # noqa: F401

    return EndpointModel
