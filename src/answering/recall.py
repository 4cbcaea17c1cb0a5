"""Recall: replies that were given before, and the model asked for the others only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..machine import hardware, machine, software
from ..measure.work import Tally, Work
from ..models.account import Account
from ..models.classical import SparseAccount
from ..models.generation import Reply, Told, repeats
from ..models.served import Served
from ..system import EndpointSystem, System
from ..values import digest
from .pool import Pool
from .responses import ResponseCache

if TYPE_CHECKING:
    from ..prompt import Message


def recall(
    system: System,
    pool: Pool,
    responses: ResponseCache,
    messages: Sequence[list[Message]],
    told: Told | None = None,
) -> list[Reply]:
    """One reply to each chat, kept ones first; what is asked for is metered as "generate" and kept.

    The model is asked once for equal chats at temperature 0. Of samples, either all are known or
    all are asked for: a sample is told by how many equal chats stand before it. What a killed
    process had from an endpoint was paid, so it is taken and charged here; a model of this machine
    is asked again, for the joules are not known. Failed and empty replies of endpoints are not
    kept.
    """
    remote = isinstance(system, EndpointSystem)
    keys = reply_keys(system, messages, pool.seed)
    numbers: dict[str, list[int]] = {}
    for number, key in enumerate(keys):
        numbers.setdefault(key, []).append(number)
    known = {
        key: kept for key, kept in responses.find(keys).items() if kept.share is not None or remote
    }
    chats = {key: digest(messages[of[0]]) for key, of in numbers.items()}
    unknown = {chats[key] for key in numbers if key not in known}
    asked = [key for key in numbers if chats[key] in unknown]
    known = {key: kept for key, kept in known.items() if chats[key] not in unknown}
    unpaid = {key: kept.made for key, kept in known.items() if kept.share is None}
    responses.use({key: kept for key, kept in known.items() if kept.share is not None})
    replies: dict[str, Reply] = {}

    def tell(key: str, reply: Reply) -> None:
        replies[key] = reply
        for number in numbers[key] if told else ():
            assert told is not None
            told(number, reply)

    for key, kept in known.items():
        tell(key, kept.made)
    if not (asked or unpaid):
        return [replies[key] for key in keys]
    model = pool.model(system)
    batch = responses.begin()

    def keep(number: int, reply: Reply) -> None:
        key = asked[number]
        if _worth_keeping(reply, remote):
            responses.keep(key, reply, batch)
        tell(key, reply)

    mark, before = pool.mark(), model.account.tally
    metered = pool.meter.phase("generate")
    try:
        with metered:
            for reply in unpaid.values():
                if isinstance(model.account, Served):
                    model.account.read(reply.tokens_in, reply.tokens_out, reply.tokens_reused)
            if asked:
                chosen = [messages[numbers[key][0]] for key in asked]
                made = model.generate(chosen, system.decoding, seed=pool.seed, told=keep)
                replies.update(zip(asked, made, strict=True))
    finally:  # also of an asking that was stopped: what came was paid for
        came = {key: replies[key] for key in (*unpaid, *asked) if key in replies}
        account, done = model.account, model.account.tally - before
        responses.settle(
            batch,
            {key: reply for key, reply in came.items() if _worth_keeping(reply, remote)},
            pool.with_endpoints(metered.result, mark),
            lambda: _work(account, done),
        )
    return [replies[key] for key in keys]


def _worth_keeping(reply: Reply, remote: bool) -> bool:
    return not reply.failed and bool(reply.text or not remote)


def _work(account: Account | Served | SparseAccount, done: Tally) -> Work:
    """What was done, for its operations; of a server they are not known."""
    if isinstance(account, Account | SparseAccount):
        return account.costs.work(done)
    return Work()


def reply_keys(system: System, messages: Sequence[Sequence[Message]], seed: int) -> list[str]:
    """Digests of all that determines each reply; at temperature 0 equal chats have the same.

    How often a question is asked and how its prompt was cut are no part of it. Of an endpoint
    neither is who asks nor how fast. Where the joules are this machine's, the machine is too.
    """
    plain = system.decoding.plain()
    drawn = system.decoding.temperature > 0
    same: dict[str, Any] = {
        "decoding": {k: v for k, v in plain.items() if k not in ("samples", "context_tokens")},
        "seed": seed if drawn else None,
    }
    if isinstance(system, EndpointSystem):
        same["model"] = [system.revision, system.endpoint.extra]
    else:
        same["model"] = [*system.weights_key(), machine(), software()]
    if not isinstance(system, EndpointSystem) or system.endpoint.on_this_machine:
        same["hardware"] = hardware()
    numbers = repeats(messages) if drawn else [0] * len(messages)
    key = digest(same)
    return [digest([key, chat, number]) for chat, number in zip(messages, numbers, strict=True)]
