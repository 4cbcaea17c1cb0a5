"""One GET to a service of carbon intensities, bounded in time and size, with one more try."""

from __future__ import annotations

import http.client
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from .provider import IntensityUnavailable

MAX_BYTES = 5_000_000
"""The longest answer asked for, 14 days of half-hours with their fuels, is well below 1 MB."""

SENTENCES = {
    400: "the request is refused",
    401: "the token is not accepted",
    403: "the token gives no access to this",
    404: "nothing is known under this zone or time",
    429: "too many requests",
}

ELSEWHERE = "the server redirects to another one, which is not followed"

Answer = TypeVar("Answer", bound=BaseModel)


class _Passing(IntensityUnavailable):
    """A failure that another try may mend."""


def get(url: str, model: type[Answer], *, headers: Mapping[str, str], timeout_s: float) -> Answer:
    """What `url` answers, read as `model`.

    Each request may take `timeout_s` seconds from its first step to its last byte. A time-out, a
    broken connection and an error of the server (5xx) are tried once more. Raises
    `IntensityUnavailable`, whose reason quotes neither headers nor anything that the server said.
    """
    try:
        body = _bounded(url, headers, timeout_s)
    except _Passing:
        body = _bounded(url, headers, timeout_s)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        broken = error.errors(include_input=False)[0]["type"] == "json_invalid"
        what = "is not JSON" if broken else "is not of the documented form"
        raise IntensityUnavailable(f"the answer {what}") from None


def _bounded(url: str, headers: Mapping[str, str], timeout_s: float) -> bytes:
    """`_request` in a thread that is left behind when time is up.

    The time-out of a socket is of one step, so a server that sends a byte now and then would hold
    it for ever, and looking up a name has no time-out at all.
    """
    box: queue.SimpleQueue[bytes | IntensityUnavailable] = queue.SimpleQueue()

    def work() -> None:
        try:
            box.put(_request(url, headers, timeout_s))
        except IntensityUnavailable as reason:
            box.put(reason)

    threading.Thread(target=work, name="carbon intensity", daemon=True).start()
    try:
        answer = box.get(timeout=timeout_s)
    except queue.Empty:
        raise _late(timeout_s) from None
    if isinstance(answer, IntensityUnavailable):
        raise answer
    return answer


def _request(url: str, headers: Mapping[str, str], timeout_s: float) -> bytes:
    deadline = time.monotonic() + timeout_s
    request = urllib.request.Request(url, headers={"Accept": "application/json", **headers})
    try:
        opener = urllib.request.build_opener(_SameServer)
        with opener.open(request, timeout=timeout_s) as response:
            body = bytearray()
            while piece := response.read1(65536):
                body += piece
                if len(body) > MAX_BYTES:
                    raise IntensityUnavailable(f"the answer is larger than {MAX_BYTES:,} bytes")
                if time.monotonic() > deadline:
                    raise _late(timeout_s)
            return bytes(body)
    except urllib.error.HTTPError as error:
        error.close()
        failure = _Passing if error.code >= 500 else IntensityUnavailable
        sentence = SENTENCES.get(error.code, ELSEWHERE if error.code < 400 else "the server failed")
        raise failure(f"{sentence} (HTTP {error.code})") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError):
            raise _late(timeout_s) from None
        # Not its text: of the library's exceptions, some quote what was sent or received.
        words = getattr(cause, "strerror", None) or type(cause).__name__
        raise _Passing(f"the connection failed ({words})") from None


def _late(timeout_s: float) -> _Passing:
    return _Passing(f"no answer within {timeout_s:g} s")


class _SameServer(urllib.request.HTTPRedirectHandler):
    """Follows a redirect on the same server only: urllib would take the token along to another."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if (old.scheme, old.netloc) != (new.scheme, new.netloc):
            return None  # which leaves the redirect as an HTTPError
        return super().redirect_request(req, fp, code, msg, headers, newurl)
