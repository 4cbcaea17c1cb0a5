"""A model that others run: many questions under way at once, each tried a bounded number of times.

What may pass (no connection, a time-out, 408, 409, 425, 429, 5xx, a cut or broken reply) is tried
again, up to `max_retries` times, after waits that grow to a minute at most. What concerns every
question (a refused key, an unknown model or address) ends the run at once. Any other refusal, and a
question out of tries, has no answer: it is marked and counted, and the run goes on until too many
have none.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import CannotRun, ModelError
from .completion import Broken, Completion, cut
from .generation import Reply, Told, repeats
from .pace import MAX_WAIT_S, Pace, back_off
from .served import Served

if TYPE_CHECKING:
    from ..endpoint_ref import EndpointRef
    from ..prompt import Message
    from ..system import Decoding

PASSING = {408: "time-out", 409: "conflict", 425: "too early", 429: "too many requests"}
FATAL = {
    401: "the key is not accepted",
    404: "the model or the address is not known there",
    405: "the address takes no questions",
}


class Passing(Exception):
    """A request failed, and another try may mend it, after `wait_s` if the server said so."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Refused(Exception):
    """This one question gets no answer, however often it is asked."""


class RemoteModel(ABC):
    """An open client. Subclasses say how one question is asked once. Freed by `close`."""

    def __init__(self, ref: EndpointRef) -> None:
        self.ref, self.account = ref, Served(ref)
        self._pace, self._chance = Pace(ref.requests_per_minute), random.Random()
        # A loop of its own: connections outlive a call, and a notebook's loop is left alone.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="endpoint", daemon=True)
        self._thread.start()

    @abstractmethod
    def _request(self, chat: list[Message], decoding: Decoding, seed: int) -> dict[str, Any]:
        """All that `_ask` needs for one question; its stop strings under "stop"."""

    @abstractmethod
    async def _ask(self, request: dict[str, Any]) -> Completion:
        """Ask once; raises `Passing`, `Broken`, `Refused` or `ModelError`."""

    @abstractmethod
    async def _release(self) -> None:
        """Free what `_ask` uses."""

    def generate(
        self,
        messages: Sequence[list[Message]],
        decoding: Decoding,
        *,
        seed: int = 0,
        told: Told | None = None,
    ) -> list[Reply]:
        """Ask for one answer to each chat; in the order given, those without one marked `failed`.

        `seed` grows by 1 with each equal chat, so that they may be answered differently. Raises
        `ModelError` for what concerns every question, and `CannotRun` for `choices`, which only a
        model of this machine can be held to, and `CannotRun` where more than
        `FAILED_SHARE` of the questions asked until now have no answer.
        """
        if decoding.choices:
            raise CannotRun(
                f"{self.ref.name} is asked through an endpoint, which cannot be held to "
                "`choices`; ask for one of them in the prompt, or take a model of this machine"
            )
        requests = [
            self._request(chat, decoding, seed + number)
            for chat, number in zip(messages, repeats(messages), strict=True)
        ]
        self.account.counts["questions"] += len(requests)
        asking = asyncio.run_coroutine_threadsafe(
            self._all(requests, decoding.stop, told or (lambda number, reply: None)), self._loop
        )
        try:
            return asking.result()
        except BaseException:  # Ctrl-C above all: what is under way is given up
            asking.cancel()
            raise

    async def _all(
        self, requests: Sequence[dict[str, Any]], stop: Sequence[str], told: Told
    ) -> list[Reply]:
        made: dict[int, Reply] = {}
        waiting = iter(enumerate(requests))

        async def work() -> None:
            for number, request in waiting:
                made[number] = await self._answer(request, stop)
                told(number, made[number])

        workers = [asyncio.ensure_future(work()) for _ in requests[: self.ref.concurrency]]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return [made[number] for number in range(len(requests))]

    async def _answer(self, request: dict[str, Any], stop: Sequence[str]) -> Reply:
        """One question, asked until it is answered or out of tries."""
        counts, reason = self.account.counts, ""
        empty: Reply | None = None
        for tried in range(self.ref.max_retries + 1):
            await asyncio.sleep(self._pace.turn(time.monotonic()))
            counts["requests"] += 1
            counts["retries"] += tried > 0
            try:
                got = await self._attempt(request)
            except (Passing, Broken) as passing:
                reason = str(passing)
                counts[reason] += 1
                wait_s = getattr(passing, "wait_s", None)
                if wait_s is not None and wait_s > MAX_WAIT_S:
                    reason += f", and it asks for {wait_s:.0f} s of rest"
                    break
                if wait_s is not None:
                    self._pace.rest(time.monotonic() + wait_s)
                elif tried < self.ref.max_retries:
                    await asyncio.sleep(back_off(tried, self._chance))
                continue
            except Refused as refused:
                reason = str(refused)
                counts[reason] += 1
                break
            self.account.read(got.tokens_in, got.tokens_out, got.tokens_reused)
            made = got.reply(cut(got.text, stop))
            counts["empty"] += not made.text
            if made.text or empty or got.finish_reason == "length":
                return made
            # Some models open with a line break, which as a stop string ends them there.
            empty, request = made, {**request, "stop": None}
        if empty is None:
            self.account.give_up(reason)
        return empty or Reply(text="", failed=reason)

    async def _attempt(self, request: dict[str, Any]) -> Completion:
        """One try, bounded as a whole: a server may send a byte now and then for ever."""
        try:
            async with asyncio.timeout(self.ref.timeout_s):
                return await self._ask(request)
        except TimeoutError:
            raise Passing(f"no answer within {self.ref.timeout_s:g} s") from None

    def _fault(self, code: int, wait_s: float | None = None, said: str = "") -> Exception:
        """What an HTTP status other than 200 means."""
        if code == 429:
            self.account.counts["rate_limited"] += 1
        if code in PASSING or code >= 500:
            return Passing(f"{PASSING.get(code, 'the server failed')} (HTTP {code})", wait_s)
        if code in FATAL:
            return ModelError(f"{self.ref.name}: {FATAL[code]} (HTTP {code})")
        if code < 400:
            return ModelError(f"{self.ref.name}: no answer but a redirect (HTTP {code})")
        return Refused(f"the request is refused (HTTP {code}){said}")

    def close(self) -> None:
        """Close the connections. May be called twice."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._release(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
