"""EndpointRef: which server answers and how it is asked. A value, so it never holds a key."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, JsonValue, field_validator, model_validator

from .measure.accounts.endpoint_energy import TokenEnergy
from .values import Value

OURS = ("messages", "model", "n", "stream")
"""Fields of a request that `extra` cannot change: what comes back is read by them."""

_SECRET = re.compile(r"api.?key|authori[sz]ation|secret|password|bearer|^token$", re.IGNORECASE)


class EndpointRef(Value):
    """A model behind an OpenAI-compatible server, or a LangChain chat model.

    `endpoint` is the server's address up to its version (``https://host/v1``) and `model` the name
    it knows; `langchain` is ``package.module:factory``, a function that makes a chat model. The key
    stands in the environment variable that `key_env` names. Each try may take `timeout_s` seconds;
    at most `concurrency` are under way at once, and `requests_per_minute` start. `extra` are
    further fields of each request; null takes a field out of it. `stream` asks for the answer piece
    by piece, which tells the time to its first token. `where` is ``this_machine`` for a server that
    the meter sees, else ``managed``; without it, loopback addresses are this machine. `energy` is a
    row of the shipped table, or figures of one's own, for a managed endpoint.
    """

    # A key pasted into the wrong place must not come back in a message.
    model_config = ConfigDict(hide_input_in_errors=True)

    endpoint: str | None = None
    langchain: str | None = None
    model: str | None = None
    key_env: str | None = None
    timeout_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 60.0
    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    max_retries: Annotated[int, Field(ge=0, le=20)] = 4
    requests_per_minute: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    stream: bool = False
    extra: dict[str, JsonValue] = {}
    where: Literal["managed", "this_machine"] | None = None
    energy: str | TokenEnergy | None = None

    @field_validator("key_env", mode="before")
    @classmethod
    def _a_name(cls, given: Any) -> Any:
        if given is None or (isinstance(given, str) and re.fullmatch("[A-Z_][A-Z0-9_]*", given)):
            return given
        raise ValueError(
            "key_env is the name of an environment variable, in capitals, such as "
            "OPENAI_API_KEY; the key itself never stands in a recipe"
        )

    @field_validator("endpoint", mode="before")
    @classmethod
    def _an_address(cls, given: Any) -> Any:
        try:
            if given is None or _is_address(given):
                return given and given.rstrip("/")
        except ValueError:  # urllib's: a port that is none
            pass
        raise ValueError("endpoint reads https://host/v1, without a name, a password or a query")

    @field_validator("extra")
    @classmethod
    def _no_secrets(cls, given: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in given:
            if _SECRET.search(name):
                raise ValueError("extra holds no keys: a key stands in the environment (key_env)")
            if name in OURS:
                raise ValueError(f'extra cannot set "{name}"')
        return given

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.endpoint is None) == (self.langchain is None):
            raise ValueError(
                'give either "endpoint: https://host/v1" or "langchain: package.module:factory"'
            )
        if self.endpoint is not None and not self.model:
            raise ValueError("an endpoint needs `model`, the name that its server knows")
        if self.key_env is not None and not _is_safe(self.endpoint or "https:"):
            raise ValueError(
                "a key over http can be read on the way: use https (http only to this "
                "machine or a private address)"
            )
        if self.langchain is not None:
            for name in ("model", "key_env", "extra", "stream"):
                if getattr(self, name):
                    raise ValueError(f"{name} is not for langchain: its factory sees to that")
        if self.on_this_machine and self.energy is not None:
            raise ValueError("energy is for a managed endpoint; on this machine the meter sees it")
        return self

    @property
    def on_this_machine(self) -> bool:
        """Whether the meter sees what the server draws."""
        if self.where is not None:
            return self.where == "this_machine"
        return self.endpoint is not None and _within(self.endpoint, "is_loopback")

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"{self.model} at {self.endpoint}" if self.endpoint else str(self.langchain)


def _is_address(given: Any) -> bool:
    parts = urlsplit(given) if isinstance(given, str) and given.isprintable() else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        return False
    odd = parts.username is not None or parts.query or parts.fragment or parts.port == 0
    return not odd and " " not in str(given)


def _is_safe(url: str) -> bool:
    """Whether a key may be sent there."""
    return url.startswith("https:") or _within(url, "is_private")


def _within(url: str, net: Literal["is_loopback", "is_private"]) -> bool:
    """Whether a url's host lies there, as far as its name tells; loopback is private too."""
    host = urlsplit(url).hostname or ""
    try:
        return bool(getattr(ipaddress.ip_address(host), net))
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
