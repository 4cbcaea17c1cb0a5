"""Several processes: which of them measures the machine, and how their phases become one.

Energy counters and models are of the whole machine, so two processes that both measure count it
twice. Hence the first process of each machine measures, and machines are summed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from ..errors import InputError
from ..values import Value
from .phases import WEAKNESS, known_total, largest
from .record import Energy, Phase, Utilisation

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")


class Launch(Value):
    """Where this process stands among those started together.

    `rank` of `world_size` over all machines, `local_rank` of `local_world_size` on this one.
    """

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1

    @property
    def measures(self) -> bool:
        """Whether this process measures its machine: the first one on it does."""
        return self.local_rank == 0

    @property
    def node(self) -> int:
        """The rank of the first process on this machine, which names the machine: launchers number
        the processes of one machine in a row."""
        return self.rank - self.local_rank


def launch(environ: Mapping[str, str] | None = None) -> Launch:
    """What ``torchrun`` or ``accelerate launch`` said in the environment; without them, one alone.

    Raises `InputError` where the four variables are no numbers, do not agree, or leave open which
    processes share a machine.
    """
    given = os.environ if environ is None else environ
    values: dict[str, int] = {}
    for name in VARIABLES:
        if given.get(name, "").strip():
            try:
                values[name.lower()] = int(given[name])
            except ValueError as error:
                raise InputError(f'{name} is "{given[name]}"; a whole number is right') from error
    found = Launch(**values)
    stand = ", ".join(f"{name}={getattr(found, name.lower())}" for name in VARIABLES)
    if found.world_size > 1 and len(values) < len(VARIABLES):
        missing = ", ".join(name for name in VARIABLES if name.lower() not in values)
        raise InputError(
            f"{found.world_size} processes are said to run (WORLD_SIZE), but {missing} is not "
            "set, so it is not known which of them share a machine; start them with torchrun or "
            "accelerate launch"
        )
    if not (
        0 <= found.local_rank < found.local_world_size <= found.world_size
        and 0 <= found.node <= found.world_size - found.local_world_size
    ):
        raise InputError(
            f"the launch variables do not agree ({stand}): a rank is below its size, and a machine "
            "has no more processes than there are; start them with torchrun or accelerate launch"
        )
    return found


def gather_phases(phases: Mapping[str, Phase]) -> dict[str, Phase]:
    """The phases of all processes as one (see `combine`), the same on every rank.

    A collective where ``torch.distributed`` is initialised with more than one process: every rank
    has to call it, and no lock may be held meanwhile. Works with gloo and with nccl, which needs
    each rank's CUDA device to be set, as accelerate does. Otherwise the phases as they are.
    Raises `InputError`, on every rank, where `launch` raises it on one.
    """
    distributed = sys.modules.get("torch.distributed")
    if (
        distributed is None
        or not distributed.is_available()
        or not distributed.is_initialized()
        or distributed.get_world_size() == 1
    ):
        return dict(phases)
    fault, stand = "", Launch()
    try:
        stand = launch()
    except InputError as error:  # told to all, as those that wait in the collective would hang
        fault = str(error)
    mine = [fault, stand.plain(), {name: phase.plain() for name, phase in phases.items()}]
    texts: list[str] = [""] * distributed.get_world_size()
    distributed.all_gather_object(texts, json.dumps(mine))
    ranks = []
    for rank, (fault, row, rows) in enumerate(map(json.loads, texts)):
        if fault:
            raise InputError(f"process {rank}: {fault}")
        here = {name: Phase.model_validate(one) for name, one in rows.items()}
        ranks.append((Launch.model_validate(row), here))
    return combine(ranks)


def combine(ranks: Sequence[tuple[Launch, Mapping[str, Phase]]]) -> dict[str, Phase]:
    """The phases of all ranks as one set, by name.

    Of the machine, hence summed over the machines' measuring ranks: energy by component, gross,
    exclusive and net. Of the process, hence summed over all ranks: processor seconds and disk
    bytes. Times are the slowest rank's. Peak memory is summed over the ranks of a machine (an upper
    bound: their peaks need not coincide, and shared pages count in each) and given for the largest
    machine; GPU memory is the most on any one device. Processor and GPU percent are means over
    machines, memory percent that of the fullest. A rank that never opened a phase takes no part in
    it; a machine on which it was opened but not measured makes its energy `failed`.

    Raises `InputError` where the ranks are not all of one launch, each once.
    """
    if sorted(stand.rank for stand, _ in ranks) != list(range(len(ranks))) or any(
        stand.world_size != len(ranks) for stand, _ in ranks
    ):
        told = ", ".join(f"{stand.rank} of {stand.world_size}" for stand, _ in ranks)
        raise InputError(
            f"{len(ranks)} processes run together, but their variables say they are {told}; start "
            "them with torchrun or accelerate launch"
        )
    ordered = sorted(ranks, key=lambda pair: pair[0].rank)
    names = dict.fromkeys(name for _, phases in ordered for name in phases)
    return {
        name: _combined([(stand, phases[name]) for stand, phases in ordered if name in phases])
        for name in names
    }


def _combined(ranks: Sequence[tuple[Launch, Phase]]) -> Phase:
    nodes: dict[int, list[Phase]] = {}
    for stand, phase in ranks:
        nodes.setdefault(stand.node, []).append(phase)
    measured = {s.node: phase for s, phase in ranks if s.measures and phase.components}
    blind = sorted(nodes.keys() - measured.keys())
    components = _components(list(measured.values()), blind)
    known = [part.energy_j for part in components.values() if part.energy_j is not None]
    # A component that is lost in the sum stays inside the other machines' exclusive and net
    # figures, from which it cannot be taken out again.
    whole = bool(measured) and not any(
        part.energy_j is None and phase.components[name].energy_j is not None
        for name, part in components.items()
        for phase in measured.values()
        if name in phase.components
    )
    slowest = max((phase for _, phase in ranks), key=lambda phase: phase.duration_s)
    return slowest.model_copy(
        update={
            "energy_j": sum(known) if known else None,
            "exclusive_energy_j": known_total(p.exclusive_energy_j for p in measured.values())
            if whole
            else None,
            "net_energy_j": known_total(p.net_energy_j for p in measured.values())
            if whole
            else None,
            "components": components,
            "utilisation": _utilisation([phase for _, phase in ranks], list(measured.values())),
            "peak_memory_bytes": largest(
                known_total(p.peak_memory_bytes for p in node) for node in nodes.values()
            ),
            "peak_gpu_memory_bytes": largest(p.peak_gpu_memory_bytes for _, p in ranks),
            "overlapped": any(phase.overlapped for _, phase in ranks),
            "error": next((f"rank {s.rank}: {p.error}" for s, p in ranks if p.error), None),
        }
    )


def _components(measured: Sequence[Phase], blind: Sequence[int]) -> dict[str, Energy]:
    """Each component summed over machines; one that a machine lacks (a GPU) is summed over the
    others, one that a machine could not measure has failed."""
    parts: dict[str, list[Energy]] = {}
    for phase in measured:
        for name, energy in phase.components.items():
            parts.setdefault(name, []).append(energy)
    if blind:
        why = f"not measured on the machine of rank {', '.join(map(str, blind))}"
        lost = Energy(energy_j=None, provenance="failed", detail=why, coverage=0.0)
        return {name: _sum([*energies, lost]) for name, energies in parts.items()}
    return {name: _sum(energies) for name, energies in parts.items()}


def _sum(parts: Sequence[Energy]) -> Energy:
    """Energies of several machines: the weakest provenance stands, and any failure is the sum's."""
    weakest = max(parts, key=lambda part: WEAKNESS.index(part.provenance))
    told = weakest.detail, *(part.detail for part in parts)
    same = len({part.tdp_w for part in parts}) == 1
    return weakest.model_copy(
        update={
            "energy_j": known_total(part.energy_j for part in parts),
            "detail": "; ".join(dict.fromkeys(filter(None, told))),
            "tdp_w": weakest.tdp_w if same else None,
            "tdp_source": weakest.tdp_source if same else None,
            "coverage": sum(part.coverage for part in parts) / len(parts),
        }
    )


def _utilisation(ranks: Sequence[Phase], measured: Sequence[Phase]) -> Utilisation:
    processes = [phase.utilisation for phase in ranks]
    machines = [phase.utilisation for phase in measured]
    return Utilisation(
        cpu_percent=_mean(use.cpu_percent for use in machines),
        cpu_s=known_total(use.cpu_s for use in processes),
        gpu_percent=_mean(use.gpu_percent for use in machines),
        memory_percent=largest(use.memory_percent for use in machines),
        disk_read_bytes=known_total(use.disk_read_bytes for use in processes),
        disk_write_bytes=known_total(use.disk_write_bytes for use in processes),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of the known values."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
