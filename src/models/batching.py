"""Which prompts are read together: what they begin with in common, and batches of like length."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import CannotRun

WORTH_SHARING = 16
"""Tokens of a common beginning from which reading it once pays for the further pass."""

Ids = Sequence[int]


@dataclass(frozen=True)
class Fork:
    """Prompts, by their numbers, that begin with the same `head` tokens."""

    head: int
    members: tuple[int, ...]


def common(one: Ids, other: Ids) -> int:
    """How many leading tokens two prompts have in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def shared_prefix(prompts: Sequence[Ids]) -> int:
    """How many leading tokens all prompts have in common, one token of each being left over.

    0 where sharing is not worth a pass of its own: for a single prompt, or a few tokens.
    """
    if len(prompts) < 2:
        return 0
    # Whatever the smallest and the largest share, all that sort between them share too.
    rows = [tuple(prompt) for prompt in prompts]
    count = min(common(min(rows), max(rows)), min(map(len, rows)) - 1)
    return count if count >= WORTH_SHARING else 0


def forks(prompts: Sequence[Ids]) -> list[Fork]:
    """Prompts in groups of a common beginning (a passage that several questions share), each once.

    Neighbours in sorted order are joined, those with most in common first, where one beginning for
    all saves at least as many tokens as the groups that they were in. A prompt that shares nothing
    worth it stays alone, with ``head`` 0.
    """
    order = sorted(range(len(prompts)), key=lambda number: tuple(prompts[number]))
    shared = [
        min(common(prompts[one], prompts[other]), len(prompts[one]) - 1, len(prompts[other]) - 1)
        for one, other in itertools.pairwise(order)
    ]
    # Runs of neighbours by their first and by their last place: where they end, their groups as
    # (head, first, last), and the tokens that those save.
    runs = {at: (at, [(0, at, at)], 0) for at in range(len(order))}
    first_of = list(range(len(order)))
    for at in sorted(range(len(shared)), key=lambda at: -shared[at]):
        head = shared[at]
        if head < WORTH_SHARING:
            break
        first = first_of[at]
        _, groups, saved = runs[first]
        last, more, also = runs.pop(at + 1)
        whole = head * (last - first)
        joined = [(head, first, last)] if whole >= saved + also else [*groups, *more]
        runs[first] = (last, joined, max(whole, saved + also))
        first_of[last] = first
    return [
        Fork(head, tuple(sorted(order[first : last + 1])))
        for _, groups, _ in runs.values()
        for head, first, last in groups
    ]


def plan_batches(
    groups: Sequence[Fork], lengths: Sequence[int], *, more: int, columns: int, rows: int
) -> list[list[Fork]]:
    """Groups of prompts put into batches, the longest first.

    A batch of ``n`` rows takes ``n * (longest prompt + more)`` places in memory and stays within
    `columns` of them and within `rows`; a group that does not fit is parted, and a prompt that
    exceeds the budget alone gets a batch alone. Like lengths together keep padding low; the longest
    first lets a lack of memory show at once.
    """

    def longest(group: Fork) -> int:
        return max(lengths[member] for member in group.members)

    parts = []
    for group in groups:
        most = max(1, min(rows, columns // (longest(group) + more)))
        for first in range(0, len(group.members), most):
            members = group.members[first : first + most]
            parts.append(Fork(group.head if len(members) > 1 else 0, members))
    batches: list[list[Fork]] = []
    held = width = 0
    for part in sorted(parts, key=lambda part: (-longest(part), part.members)):
        held += len(part.members)
        if not batches or held > rows or held * width > columns:
            batches.append([])
            held, width = len(part.members), longest(part) + more
        batches[-1].append(part)
    return batches


def chunks(members: Sequence[int], lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Neighbours that are read in one pass: at most `tokens` with padding, one prompt at least."""
    made: list[list[int]] = []
    for member in members:
        if made and (len(made[-1]) + 1) * max(lengths[m] for m in (*made[-1], member)) <= tokens:
            made[-1].append(member)
        else:
            made.append([member])
    return made


def in_halves(
    batches: Sequence[list[Fork]],
    work: Callable[[list[Fork]], None],
    *,
    device: str,
    lengths: Sequence[int],
) -> None:
    """Do `work` for each batch; one that the device's memory does not suffice for, in halves.

    Raises `CannotRun` where it does not suffice for one prompt alone; `lengths` are theirs.
    """
    import torch

    waiting = list(batches)[::-1]
    while waiting:
        batch = waiting.pop()
        # The exception is not kept: it would hold on to the tensors of the failed attempt.
        with contextlib.suppress(torch.OutOfMemoryError):
            work(batch)
            continue
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
        numbers = [number for fork in batch for number in fork.members]
        if len(numbers) == 1:
            raise CannotRun(
                f"the {device} has too little memory for one prompt of {lengths[numbers[0]]} "
                "tokens; choose a smaller model or shorter prompts"
            )
        half = len(numbers) // 2
        waiting += [[Fork(0, (n,)) for n in part] for part in (numbers[half:], numbers[:half])]
