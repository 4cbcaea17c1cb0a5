"""codecarbon's tracker made quiet, offline and deaf to configuration."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from .components import mend_tdp
from .counters import CounterWatch, choose_gpus

SECONDS_BETWEEN_MEASUREMENTS = 15.0
"""codecarbon's own rhythm: it samples the load every second and adds energy up this often, well
within the time after which a processor's energy counter wraps (minutes)."""


class Capture:
    """What codecarbon calls an output (the shape of its ``BaseOutput``): keeps the last totals."""

    def __init__(self) -> None:
        self.total: Any = None

    def out(self, total: Any, delta: Any) -> None:
        """Called by ``flush`` and ``stop`` with the cumulative figures."""
        self.total = total

    def live_out(self, total: Any, delta: Any) -> None:
        """Called between flushes; not wanted."""

    def task_out(self, data: Any, experiment_name: str) -> None:
        """Called for codecarbon's own tasks; none is ever started."""

    def exit(self) -> None:
        """Called when the tracker stops."""


class Total(NamedTuple):
    """Energy since a tracker was started, in kWh, under codecarbon's names."""

    cpu_energy: float
    ram_energy: float
    gpu_energy: float


class Tracker(Protocol):
    """What is used of a codecarbon tracker."""

    def start(self) -> None: ...

    def flush(self) -> float | None: ...

    def stop(self) -> float | None: ...


TrackerFactory = Callable[[Capture], Tracker]


class Quiet(logging.Filter):
    """Drops what our tracker logs, and nothing that another tracker of the same process logs.

    codecarbon swallows exceptions and logs them; the last one is kept, it is the reason of a
    failed reading.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ours = threading.local()
        self.starting = False
        self.last_error = ""
        self._users = 0

    def attach(self) -> None:
        """Filter codecarbon's logger, until every user has detached."""
        self._users += 1
        logging.getLogger("codecarbon").addFilter(self)

    def detach(self) -> None:
        """One user fewer; the last one takes the filter away."""
        self._users -= 1
        if self._users <= 0:
            logging.getLogger("codecarbon").removeFilter(self)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """What this thread logs inside is ours."""
        depth = getattr(self._ours, "depth", 0)
        self._ours.depth = depth + 1
        try:
            yield
        finally:
            self._ours.depth = depth

    def filter(self, record: logging.LogRecord) -> bool:
        if not self.starting and getattr(self._ours, "depth", 0) == 0:
            return True
        if record.exc_info and record.exc_info[1] is not None:
            self.last_error = sentence(record.exc_info[1])
        return False


quiet = Quiet()


def sentence(error: BaseException) -> str:
    """An exception as one short line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


@contextmanager
def silence() -> Iterator[None]:
    """Start-up: everything codecarbon logs is dropped and its logger is left as it was.

    Importing codecarbon and building a tracker each replace the logger's handlers and level. A
    logger that the user had set up is restored; one nobody had touched is left as a plain
    ``import codecarbon`` leaves it.
    """
    logger = logging.getLogger("codecarbon")
    before = (list(logger.handlers), logger.level, logger.propagate)
    quiet.starting = True
    try:
        try:
            import codecarbon.emissions_tracker  # noqa: F401
        finally:
            if before == ([], logging.NOTSET, True):
                before = (list(logger.handlers), logger.level, logger.propagate)
        yield
    finally:
        quiet.starting = False
        logger.handlers[:], logger.propagate = before[0], before[2]
        logger.setLevel(before[1])


def visible_gpus() -> list[str] | None:
    """The GPUs this process may use by ``CUDA_VISIBLE_DEVICES`` (or the ROCm one), None for all.

    As in CUDA, the list ends at the first ``-1``, and an empty variable hides every GPU.
    """
    for variable in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        if variable in os.environ:
            names: list[str] = []
            for name in os.environ[variable].split(","):
                if name.strip() in ("", "-1"):
                    break
                names.append(name.strip())
            return names
    return None


def offline_tracker(capture: Capture) -> Tracker:
    """A codecarbon tracker that asks no network, reads no configuration and writes no file.

    Its `failures` are one line for each measurement that is not to be believed, as
    ``component: reason`` where one component alone is concerned; its `watch` knows of counters.
    """
    import codecarbon.emissions_tracker as module
    from codecarbon.external.hardware import GPU

    visible = visible_gpus()

    class Offline(module.OfflineEmissionsTracker):
        """Measurements are serialised, failures are counted, and logging is ours to drop."""

        def __init__(self, **arguments: Any) -> None:
            self.lock = threading.RLock()
            self.failures: list[str] = []
            self.watch = CounterWatch()
            self._before: list[str] = []
            super().__init__(**arguments)

        def _initialize_hardware_tracking(self) -> None:
            try:
                super()._initialize_hardware_tracking()
            except Exception as error:
                # Of a dead GPU, say: the other components can be measured all the same.
                if not self._hardware:
                    raise
                missing = "cpu" if any(isinstance(part, GPU) for part in self._hardware) else "gpu"
                self.watch.refused[missing] = sentence(error)
            if visible == []:  # codecarbon would count every GPU of the machine
                self._hardware = [part for part in self._hardware if not isinstance(part, GPU)]
                self.watch.refused.pop("gpu", None)
            for part in self._hardware:
                if isinstance(part, GPU) and part.num_gpus:
                    reason = choose_gpus(part, visible)
                    if reason:
                        self.watch.refused["gpu"] = reason
                mend_tdp(part)

        def _measure_power_and_energy(self) -> None:
            # Called by flush and by codecarbon's own timer; two at once would count time twice.
            with self.lock, quiet():
                self.watch.prepare(self._hardware)
                try:
                    super()._measure_power_and_energy()
                    faults = self.watch.faults(self._hardware)
                except Exception as error:
                    faults = [sentence(error)]
                # What a measurement missed may be in the next one, which is then not right either.
                self.failures += [*self._before, *faults]
                self._before = faults

        def _monitor_power(self) -> None:
            with quiet():
                try:
                    super()._monitor_power()
                except Exception as error:  # one sample fewer; a timer's traceback helps nobody
                    quiet.last_error = sentence(error)

        def flush(self) -> float | None:
            # Not codecarbon's own: that keeps a figure up to 50 ms old, which would put the end of
            # one phase into the next, and works out emissions from it, which nobody asked for.
            with self.lock:
                if self._start_time is None:
                    return None
                self._measure_power_and_energy()
                total = Total(
                    self._total_cpu_energy.kWh,
                    self._total_ram_energy.kWh,
                    self._total_gpu_energy.kWh,
                )
                capture.out(total, None)
                return sum(total)

        def stop(self) -> float | None:
            timers: tuple[Any, ...] = (self._scheduler, self._scheduler_monitor_power)
            with quiet():
                emissions: float | None = super().stop()
            for timer in timers:
                if timer is not None:
                    timer.stop()  # one that was just firing has set itself again
                    if timer._timer is not None:
                        timer._timer.join(timeout=1.0)  # no thread of ours outlives the meter
            return emissions

    try:
        folder = tempfile.gettempdir()  # only the sampling tools of macOS and Windows write there
    except FileNotFoundError:  # nothing is writable; the folder need only exist
        folder = os.path.abspath(os.sep)
    names = vars(module)
    read_configuration = names["get_hierarchical_config"]
    names["get_hierarchical_config"] = dict  # CODECARBON_* and .codecarbon.config change nothing
    try:
        tracker: Tracker = Offline(
            country_iso_code="FRA",  # it insists on one; its emissions are never used
            output_methods=[],
            output_handlers=[capture],
            output_dir=folder,
            log_level="critical",
            measure_power_secs=SECONDS_BETWEEN_MEASUREMENTS,
            api_call_interval=-1,
            allow_multiple_runs=True,
            tracking_mode="machine",  # process mode loses children that have exited
            gpu_ids=None,  # chosen above
        )
        return tracker
    finally:
        names["get_hierarchical_config"] = read_configuration
