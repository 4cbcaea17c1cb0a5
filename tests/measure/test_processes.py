"""Several processes: what a launcher says, and simulated machines."""

from __future__ import annotations

from typing import Any

import pytest

from wattune.errors import InputError
from wattune.measure.processes import Launch, combine, gather_phases, launch
from wattune.measure.record import Energy, Phase, Utilisation


def variables(rank: int, local: int, world: int, local_world: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(local),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(local_world),
    }


# What the launcher says


def test_a_process_alone() -> None:
    for environ in ({}, {"WORLD_SIZE": "1"}, {"RANK": "", "WORLD_SIZE": " "}):
        assert launch(environ) == Launch(rank=0, local_rank=0, world_size=1, local_world_size=1)
    assert launch({}).measures


def test_the_first_process_of_each_machine_measures() -> None:
    # Two machines, of three and of two processes.
    stands = [(0, 0, 3), (1, 1, 3), (2, 2, 3), (3, 0, 2), (4, 1, 2)]
    found = [launch(variables(rank, local, 5, size)) for rank, local, size in stands]
    assert [one.measures for one in found] == [True, False, False, True, False]
    assert [one.node for one in found] == [0, 0, 0, 3, 3]


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(1, 1, 2, 2).items():
        monkeypatch.setenv(name, value)
    assert launch() == Launch(rank=1, local_rank=1, world_size=2, local_world_size=2)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"RANK": "one"}, 'RANK is "one"; a whole number'),
        ({"WORLD_SIZE": "2.0"}, 'WORLD_SIZE is "2.0"'),
        ({"RANK": "2"}, "do not agree"),
        ({"RANK": "-1", "LOCAL_RANK": "-1"}, "do not agree"),
        ({"LOCAL_RANK": "2"}, "do not agree"),
        ({"RANK": "0"}, "do not agree"),  # the second process of a machine is not the first of all
        ({"WORLD_SIZE": "1"}, "do not agree"),
        ({"WORLD_SIZE": "0"}, "do not agree"),
        ({"LOCAL_WORLD_SIZE": "3"}, "do not agree"),
        ({"LOCAL_RANK": "", "LOCAL_WORLD_SIZE": ""}, "LOCAL_RANK, LOCAL_WORLD_SIZE is not set"),
    ],
)
def test_variables_that_cannot_be(changes: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        launch({**variables(1, 1, 2, 2), **changes})


# Simulated machines


def phase(cpu_j: float | None = None, duration_s: float = 2.0, **changes: Any) -> Phase:
    """A phase as a measuring rank has it, or, without `cpu_j`, as another rank has it."""
    if cpu_j is None:
        return Phase(duration_s=duration_s, energy_j=None, **changes)
    fields: dict[str, Any] = {
        "energy_j": cpu_j,
        "exclusive_energy_j": cpu_j / 2,
        "net_energy_j": cpu_j / 4,
        "components": {"cpu": Energy(energy_j=cpu_j, provenance="counter", detail="RAPL")},
    }
    return Phase(duration_s=duration_s, **{**fields, **changes})


def ranks(*machines: list[Phase | None]) -> list[tuple[Launch, dict[str, Phase]]]:
    """One list a machine, of the phase of each of its ranks (None: never opened)."""
    world = sum(map(len, machines))
    found: list[tuple[Launch, dict[str, Phase]]] = []
    for machine in machines:
        for local, one in enumerate(machine):
            stand = Launch(
                rank=len(found),
                local_rank=local,
                world_size=world,
                local_world_size=len(machine),
            )
            found.append((stand, {} if one is None else {"p": one}))
    return found


def test_one_machine_counts_once() -> None:
    one = combine(ranks([phase(10.0), phase(), phase()]))["p"]
    assert (one.energy_j, one.exclusive_energy_j, one.net_energy_j) == (10.0, 5.0, 2.5)
    assert one.components == phase(10.0).components


def test_a_rank_that_measured_although_it_should_not_is_left_out() -> None:
    assert combine(ranks([phase(10.0), phase(10.0)]))["p"].energy_j == 10.0


def test_machines_are_summed() -> None:
    two = combine(ranks([phase(10.0, 3.0), phase(None, 4.0)], [phase(6.0, 5.0), phase()]))["p"]
    assert (two.energy_j, two.exclusive_energy_j, two.net_energy_j) == (16.0, 8.0, 4.0)
    assert two.components["cpu"].energy_j == 16.0
    assert two.duration_s == 5.0


def test_the_order_of_the_ranks_does_not_matter() -> None:
    given = ranks([phase(10.0, 3.0), phase(None, 4.0, error="E")], [phase(6.0, 4.0), phase()])
    assert combine(given[::-1]) == combine(given)


def test_the_weakest_provenance_stands() -> None:
    modelled = Energy(
        energy_j=6.0,
        provenance="modelled_load",
        detail="load",
        tdp_w=280.0,
        tdp_source="table",
        coverage=0.5,
    )
    both = combine(ranks([phase(10.0)], [phase(6.0, components={"cpu": modelled})]))["p"]
    cpu = both.components["cpu"]
    assert (cpu.provenance, cpu.energy_j, cpu.coverage) == ("modelled_load", 16.0, 0.75)
    assert cpu.detail == "load; RAPL"
    assert cpu.tdp_w is None  # the other machine's is not known
    twin = phase(6.0, components={"cpu": modelled})
    alike = combine(ranks([twin], [twin]))["p"].components["cpu"]
    assert (alike.energy_j, alike.tdp_w, alike.tdp_source) == (12.0, 280.0, "table")


def test_a_component_that_only_one_machine_has() -> None:
    gpu = {**phase(10.0).components, "gpu": Energy(energy_j=90.0, provenance="counter")}
    both = combine(ranks([phase(100.0, components=gpu)], [phase(6.0)]))["p"]
    assert both.components["gpu"].energy_j == 90.0
    assert both.energy_j == 106.0
    assert both.exclusive_energy_j == 53.0


def test_a_component_that_failed_on_one_machine_has_failed() -> None:
    failed = Energy(energy_j=None, provenance="failed", detail="counter reset", coverage=0.0)
    ram = Energy(energy_j=4.0, provenance="constant")
    first = phase(14.0, components={**phase(10.0).components, "ram": ram})
    second = phase(4.0, components={"cpu": failed, "ram": ram})
    both = combine(ranks([first], [second]))["p"]
    assert both.components["cpu"] == failed.model_copy(
        update={"detail": "counter reset; RAPL", "coverage": 0.5}
    )
    assert both.energy_j == both.components["ram"].energy_j == 8.0
    # The first machine's cpu is in these, and cannot be taken out again.
    assert both.exclusive_energy_j is None
    assert both.net_energy_j is None


def test_a_machine_that_did_not_measure_is_not_taken_for_zero() -> None:
    both = combine(ranks([phase(10.0)], [None, phase()]))["p"]
    assert both.energy_j is None
    assert both.components["cpu"].provenance == "failed"
    assert both.components["cpu"].detail == "not measured on the machine of rank 1; RAPL"
    nobody = combine(ranks([None, phase(None, 7.0)]))["p"]
    assert (nobody.energy_j, nobody.components, nobody.duration_s) == (None, {}, 7.0)


def test_a_phase_that_some_ranks_never_opened() -> None:
    assert combine(ranks([phase(10.0), None], [None, None]))["p"].energy_j == 10.0
    assert combine(ranks([None, None])) == {}


def test_net_energy_needs_a_baseline_on_every_machine() -> None:
    both = combine(ranks([phase(10.0)], [phase(6.0, net_energy_j=None)]))["p"]
    assert (both.energy_j, both.exclusive_energy_j, both.net_energy_j) == (16.0, 8.0, None)


def test_peaks() -> None:
    def peak(memory: int | None, gpu: int | None = None, cpu_j: float | None = None) -> Phase:
        return phase(cpu_j, peak_memory_bytes=memory, peak_gpu_memory_bytes=gpu)

    both = combine(ranks([peak(5, 2, 1.0), peak(4, 3)], [peak(7, None, 1.0), peak(1)]))["p"]
    assert (both.peak_memory_bytes, both.peak_gpu_memory_bytes) == (9, 3)
    partly = combine(ranks([peak(5, None, 1.0), peak(None)]))["p"]
    assert (partly.peak_memory_bytes, partly.peak_gpu_memory_bytes) == (None, None)


def test_utilisation() -> None:
    def busy(
        cpu: float, cpu_s: float, gpu: float | None, disk: int | None, joules: float | None = None
    ) -> Phase:
        used = Utilisation(
            cpu_percent=cpu,
            cpu_s=cpu_s,
            gpu_percent=gpu,
            memory_percent=cpu / 2,
            disk_read_bytes=disk,
            disk_write_bytes=1,
        )
        return phase(joules, utilisation=used)

    both = combine(
        ranks(
            [busy(50.0, 3.0, 80.0, 10, 1.0), busy(99.0, 4.0, 99.0, None)],
            [busy(30.0, 5.0, None, 20, 1.0), busy(99.0, 6.0, 99.0, 30)],
        )
    )["p"].utilisation
    assert both == Utilisation(
        cpu_percent=40.0,
        cpu_s=18.0,
        gpu_percent=80.0,
        memory_percent=25.0,
        disk_read_bytes=None,
        disk_write_bytes=4,
    )


def test_what_one_rank_suffered_is_told() -> None:
    given = ranks([phase(10.0), phase(None, 9.0, error="ValueError: no", overlapped=True)])
    one = combine(given)["p"]
    assert (one.error, one.overlapped) == ("rank 1: ValueError: no", True)


@pytest.mark.parametrize(
    "stands",
    [
        [Launch(), Launch()],  # two processes that were started as if each were alone
        [Launch(world_size=2, local_world_size=2)],
        [Launch(rank=0, world_size=3, local_world_size=3)] * 3,
    ],
)
def test_processes_that_are_not_of_one_launch(stands: list[Launch]) -> None:
    with pytest.raises(InputError, match="torchrun or accelerate launch"):
        combine([(stand, {}) for stand in stands])


def test_without_a_process_group_phases_stay_as_they_are() -> None:
    phases = {"p": phase(10.0, parent="whole")}
    assert gather_phases(phases) == phases
    assert gather_phases(phases) is not phases
