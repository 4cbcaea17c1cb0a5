"""Which prompts are read together."""

from __future__ import annotations

import random

import pytest
import torch

from wattune.errors import CannotRun
from wattune.models.batching import (
    Fork,
    chunks,
    common,
    forks,
    in_halves,
    plan_batches,
    shared_prefix,
)


def members(batches: list[list[Fork]]) -> list[int]:
    return [number for batch in batches for fork in batch for number in fork.members]


def test_a_prefix_is_shared_where_it_is_worth_it() -> None:
    shared = list(range(30))
    assert shared_prefix([[*shared, 1], [*shared, 2, 3], [*shared, 1, 4]]) == 30
    assert shared_prefix([shared, shared]) == 29  # one token of each is left to be read
    assert shared_prefix([[*shared, 1]]) == 0  # one prompt shares with nobody
    assert shared_prefix([[1, *shared], [2, *shared]]) == 0
    assert shared_prefix([shared[:10], shared[:10]]) == 0  # too little to be worth a pass
    assert shared_prefix([]) == 0


def test_prompts_that_share_a_passage_make_a_fork() -> None:
    one, other = list(range(100, 140)), list(range(200, 250))
    prompts = [[*one, 1, 2], [7, 8, 9], [*other, 1], [*one, 3], [*other, 2], [*one, 1]]
    found = {fork.members: fork.head for fork in forks(prompts)}
    # The two that share 41 tokens ("one 1") do not part from the third: 2 x 40 > 1 x 41.
    assert found == {(0, 3, 5): 40, (2, 4): 50, (1,): 0}


def test_a_fork_leaves_a_token_of_each_prompt_and_loses_nothing_to_a_poor_neighbour() -> None:
    long = list(range(1000, 1200))
    prompts = [long, long, [*long[:20], 5, 6], [*long[:20], 7]]
    found = forks(prompts)
    assert sorted((fork.head, fork.members) for fork in found) == [(20, (2, 3)), (199, (0, 1))]
    assert forks([]) == []


@pytest.mark.parametrize("seed", range(5))
def test_forks_and_batches_cover_every_prompt_once_within_their_limits(seed: int) -> None:
    chance = random.Random(seed)
    heads = [[chance.randrange(50) for _ in range(chance.randrange(60))] for _ in range(6)]
    prompts = [
        [*chance.choice(heads), *(chance.randrange(50) for _ in range(chance.randrange(1, 30)))]
        for _ in range(80)
    ]
    groups = forks(prompts)
    assert sorted(number for fork in groups for number in fork.members) == list(range(80))
    for fork in groups:
        head = prompts[fork.members[0]][: fork.head]
        assert all(prompts[number][: fork.head] == head for number in fork.members)
        assert all(len(prompts[number]) > fork.head for number in fork.members)
        assert fork.head == 0 or (fork.head >= 16 and len(fork.members) > 1)
    lengths = [len(prompt) for prompt in prompts]
    batches = plan_batches(groups, lengths, more=8, columns=500, rows=10)
    assert sorted(members(batches)) == list(range(80))
    for batch in batches:
        held = members([batch])
        assert len(held) <= 10
        assert len(held) == 1 or len(held) * (max(lengths[n] for n in held) + 8) <= 500
    longest = [max(lengths[n] for n in members([batch])) for batch in batches]
    assert longest == sorted(longest, reverse=True)  # the longest first


def test_a_group_that_fits_no_batch_is_parted_and_keeps_its_head() -> None:
    batches = plan_batches([Fork(20, (0, 1, 2, 3, 4))], [30] * 5, more=10, columns=80, rows=9)
    assert batches == [[Fork(20, (0, 1))], [Fork(20, (2, 3))], [Fork(0, (4,))]]
    assert plan_batches([Fork(0, (0,))], [300], more=1, columns=10, rows=9) == [[Fork(0, (0,))]]


def test_chunks_hold_neighbours_within_their_tokens() -> None:
    assert chunks([0, 1, 2, 3], [2, 2, 3, 9], 8) == [[0, 1], [2], [3]]
    assert chunks([], [], 8) == []
    assert common([1, 2, 3], [1, 2]) == 2


def test_what_memory_does_not_suffice_for_is_halved_until_it_does() -> None:
    done: list[list[int]] = []

    def work(batch: list[Fork]) -> None:
        if len(members([batch])) > limit:
            raise torch.OutOfMemoryError("out of memory")
        done.append(members([batch]))

    limit = 2
    batches = [[Fork(20, (0, 1, 2)), Fork(0, (3,))], [Fork(0, (4,))]]
    in_halves(batches, work, device="cpu", lengths=[9] * 5)
    assert done == [[0, 1], [2, 3], [4]]
    limit = 0
    with pytest.raises(CannotRun, match="cpu has too little memory for one prompt of 9 tokens"):
        in_halves(batches, work, device="cpu", lengths=[9] * 5)
