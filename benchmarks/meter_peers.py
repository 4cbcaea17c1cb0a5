"""Peers: three ways to meter a phase, each used as its documentation says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

PEERS = ("wattune", "codecarbon", "zeus")
BY_NAME = "codecarbon by name"
J_PER_KWH = 3.6e6


@dataclass
class Figure:
    """What a peer told of one phase. `joules` by component, None where it told none; `said` are
    its own words. `others` are seconds of intervals that its figure may be of by mistake."""

    part: str
    true_s: float = 0.0
    joules: dict[str, float] | None = None
    said: str = ""
    others: dict[str, float] = field(default_factory=dict)


class Peer(ABC):
    """One way to meter a phase."""

    @contextmanager
    def phase(self, figure: Figure) -> Iterator[None]:
        """Meter what runs inside into `figure`; a failure of the peer is what it said."""
        try:
            handle = self.begin(figure.part)
        except Exception as error:
            figure.said = f"{type(error).__name__}: {error}"
            yield
            return
        yield
        try:
            figure.joules, figure.said = self.end(figure.part, handle)
        except Exception as error:
            figure.said = f"{type(error).__name__}: {error}"

    @abstractmethod
    def begin(self, name: str) -> Any: ...

    @abstractmethod
    def end(self, name: str, handle: Any) -> tuple[dict[str, float] | None, str]: ...

    def together(self, figures: Sequence[Figure]) -> tuple[dict[str, float] | None, str]:
        """Several phases as one: added up, where the peer has nothing of its own for it."""
        said = "; ".join(dict.fromkeys(figure.said for figure in figures if figure.said))
        return added([figure.joules for figure in figures]), said

    def gathered(self, figure: Figure) -> tuple[dict[str, float] | None, str]:
        """One phase of all processes: added up, where the peer has nothing of its own for it."""
        import torch.distributed as dist

        told: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(told, figure.joules)
        return added(told), figure.said

    def forget(self) -> None:  # noqa: B027  # not every peer has a total
        """What was metered until now is in no total."""

    def close(self) -> None:  # noqa: B027  # not every peer has something to close
        """Stop metering."""


def added(joules: Sequence[dict[str, float] | None]) -> dict[str, float] | None:
    """The sum by component over what is known, None if nothing is."""
    known = [one for one in joules if one is not None]
    names = dict.fromkeys(name for one in known for name in one)
    return {name: sum(one.get(name, 0.0) for one in known) for name in names} if known else None


class Wattune(Peer):
    """This project's meter."""

    def __init__(self) -> None:
        from wattune.measure.meter import Meter

        self._new = Meter
        self._meters = [Meter()]

    @property
    def meter(self) -> Any:
        return self._meters[-1]

    def begin(self, name: str) -> Any:
        return self.meter.phase(name).__enter__()

    def end(self, name: str, handle: Any) -> tuple[dict[str, float] | None, str]:
        handle.__exit__(None, None, None)
        return self._told(handle.result)

    def together(self, figures: Sequence[Figure]) -> tuple[dict[str, float] | None, str]:
        return self._told(self.meter.total())

    def gathered(self, figure: Figure) -> tuple[dict[str, float] | None, str]:
        return self._told(self.meter.gather()[figure.part])

    def forget(self) -> None:
        self._meters.append(self._new())  # the first one stays open, and the shared tracker warm

    def close(self) -> None:
        for meter in self._meters:
            meter.close()

    @staticmethod
    def _told(phase: Any) -> tuple[dict[str, float] | None, str]:
        parts = phase.components
        known = {name: part.energy_j for name, part in parts.items() if part.energy_j is not None}
        failed = [f"{name}: {part.detail}" for name, part in parts.items() if part.energy_j is None]
        marked = ["marked below resolution"] if phase.below_resolution else []
        return known or None, "; ".join(failed + marked)


class CodecarbonTasks(Peer):
    """codecarbon's task API. Its documentation, its example and its own context manager
    (TaskEmissionsTracker) stop a task without naming it; `named` names it."""

    def __init__(self, *, named: bool = False) -> None:
        self.named = named
        self.tracker = offline_codecarbon()

    def begin(self, name: str) -> Any:
        self.tracker.start_task(name)

    def end(self, name: str, handle: Any) -> tuple[dict[str, float] | None, str]:
        data = self.tracker.stop_task(name) if self.named else self.tracker.stop_task()
        return (None, "None") if data is None else (joules_of(data), "")

    def close(self) -> None:
        self.tracker.stop()


class Zeus(Peer):
    """zeus' measurement windows."""

    def __init__(self) -> None:
        from zeus.monitor import ZeusMonitor  # type: ignore[import-untyped]

        self.monitor = ZeusMonitor()

    def begin(self, name: str) -> Any:
        self.monitor.begin_window(name)

    def end(self, name: str, handle: Any) -> tuple[dict[str, float] | None, str]:
        told = self.monitor.end_window(name)
        both = {"gpu": told.gpu_energy, "cpu": told.cpu_energy}
        joules = {name: sum(one.values()) for name, one in both.items() if one}
        said = f"gpu_energy={told.gpu_energy}, cpu_energy={told.cpu_energy}"
        return (joules, "") if joules else (None, said)


def offline_codecarbon() -> Any:
    """codecarbon's tracker: offline, silent, saving nothing; all else by default."""
    from codecarbon import OfflineEmissionsTracker

    return OfflineEmissionsTracker(country_iso_code="FRA", log_level="critical", output_methods=[])


def joules_of(data: Any) -> dict[str, float]:
    """codecarbon's kWh by component, as joules."""
    return {name: getattr(data, f"{name}_energy") * J_PER_KWH for name in ("cpu", "ram", "gpu")}


def peer_of(name: str) -> Peer:
    """The peer of this name, ready to meter."""
    if name == "wattune":
        return Wattune()
    return Zeus() if name == "zeus" else CodecarbonTasks(named=name == BY_NAME)
