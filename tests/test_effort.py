"""Effort: over any number of kills, what leads to the result and what is lost add up to all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

from wattune.effort import NOTE, Effort
from wattune.measure.record import Bill


class Clocked:
    """A pretended machine that draws 10 W, 4 of them idle; a second passes when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now, self.began = folder, 0.0, 0.0

    def bill(self, seconds: float) -> Bill:
        return Bill(energy_j=10 * seconds, duration_s=seconds, net_energy_j=6 * seconds)

    def attempt(self, **given: Any) -> Effort:
        self.began = self.now
        return Effort(
            self.folder, lambda: self.bill(self.now - self.began), clock=lambda: self.now, **given
        )

    def work(self, effort: Effort, seconds: float) -> Bill:
        """Work, and tell what a checkpoint that is written then would hold."""
        self.now += seconds
        effort.note()
        return effort.spent()


@pytest.fixture
def machine(tmp_path: Path) -> Clocked:
    return Clocked(tmp_path / "k1.unfinished")


def test_one_attempt_carries_and_loses_nothing(machine: Clocked) -> None:
    effort = machine.attempt()
    assert machine.work(effort, 5) == machine.bill(5)
    assert (effort.attempts, effort.carried, effort.lost()) == (1, None, Bill())


def test_what_is_carried_and_what_is_lost_add_up_over_three_attempts(machine: Clocked) -> None:
    first = machine.attempt()
    kept = machine.work(first, 80)
    machine.work(first, 20)  # killed here
    second = machine.attempt()
    second.carry(kept)
    assert second.lost() == machine.bill(20)
    kept = machine.work(second, 30)
    assert kept == machine.bill(110)
    machine.work(second, 40)  # and here
    third = machine.attempt()
    third.carry(kept)
    assert third.attempts == 3
    assert third.lost() == machine.bill(60)
    last = machine.bill(15)
    machine.work(third, 15)
    assert third.spent() == kept + last
    assert third.carried is not None
    assert third.carried + third.lost() + last == machine.bill(machine.now)


def test_beginning_anew_loses_all_of_the_earlier_attempts(machine: Clocked) -> None:
    for _ in range(2):
        machine.work(machine.attempt(), 7)
    third = machine.attempt()
    assert third.lost() == machine.bill(14)
    assert machine.work(third, 3) == machine.bill(3)


def test_notes_are_written_once_a_second_at_most(
    machine: Clocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    effort = machine.attempt()
    written: list[str] = []
    monkeypatch.setattr("wattune.effort.write_text", lambda path, text: written.append(text))
    for _ in range(20):
        machine.work(effort, 0.25)
    noted_s = [json.loads(text)["spent"]["duration_s"] for text in written]
    assert noted_s == [0.25, 1.25, 2.25, 3.25, 4.25]


def test_a_full_disk_ends_no_build_and_leaves_what_was_lost_unknown(
    machine: Clocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    effort = machine.attempt()
    with monkeypatch.context() as patch:
        patch.setattr("wattune.files.os.open", full)
        kept = machine.work(effort, 9)
    assert not (machine.folder / NOTE).exists()
    again = machine.attempt()
    again.carry(kept)
    assert again.attempts == 2
    assert again.lost() == Bill(energy_j=None, duration_s=0.0, net_energy_j=None)


def test_a_process_that_is_not_the_main_one_writes_nothing(machine: Clocked) -> None:
    machine.work(machine.attempt(writes=False), 9)
    assert not machine.folder.exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"attempts": "many"}'])
def test_a_damaged_note_counts_as_none(machine: Clocked, damage: str) -> None:
    machine.folder.mkdir()
    (machine.folder / NOTE).write_text(damage)
    assert machine.attempt().attempts == 1


def test_unknown_energy_stays_unknown(tmp_path: Path) -> None:
    unmetered = Bill(energy_j=None, duration_s=4.0, net_energy_j=None)
    Effort(tmp_path, lambda: unmetered).note()
    again = Effort(tmp_path)
    again.carry(unmetered.model_copy(update={"duration_s": 3.0}))
    assert again.lost() == Bill(energy_j=None, duration_s=1.0, net_energy_j=None)


def test_a_checkpoint_newer_than_the_last_note_loses_nothing(machine: Clocked) -> None:
    machine.work(effort := machine.attempt(), 5)
    machine.now += 0.5
    kept = effort.spent()
    again = machine.attempt()
    again.carry(kept)
    assert again.lost() == Bill()


def test_replies_from_a_cache_are_attributed_once_and_never_lost(machine: Clocked) -> None:
    """Attempt 1 takes replies that first cost 50 s; in attempt 2 its own ones are recalled too."""
    first = machine.attempt(recalled=lambda: machine.bill(50))
    kept = machine.work(first, 10)
    assert kept == machine.bill(60)
    machine.work(first, 5)
    second = machine.attempt(recalled=lambda: machine.bill(53))
    second.carry(kept)
    assert second.lost() == machine.bill(5)
    kept = machine.work(second, 10)
    assert kept == machine.bill(70)
    third = machine.attempt(recalled=lambda: machine.bill(53))
    assert third.lost() == machine.bill(22)  # begun anew: 3 of the 25 spent went into its replies
    third.carry(kept)
    assert third.lost() == machine.bill(5)
