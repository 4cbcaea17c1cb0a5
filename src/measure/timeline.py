"""Timeline: what each phase is charged with, interval by interval.

Every begin and every end of a phase, in any thread, is an event and takes one reading. What was
drawn between two successive events is given once::

    thread 1    a ────────────────────────────────┐
                      b ──────────┐
    thread 2                c ──────────────┐
    interval    │  1  │  2  │  3  │    4    │  5 │
    inclusive      a     a,b   a,b,c   a,c     a
    exclusive      a      b   b½,c½   a½,c½    a

Inclusive figures go to every open phase, exclusive ones to the innermost (those with no open phase
within), in equal parts where threads have one each. So exclusive figures add up to what was drawn
while any phase was open, and no overlap is counted twice. A name that is open several times at
once, and the whole of all phases, are spans of their own: each is given an interval once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

from .baseline import net_energy_j
from .memory import Peaks
from .phases import RESOLUTION_S, Drawn, Moment, Tally, drawn_between, sum_known
from .record import Baseline, Energy, Phase
from .utilisation import utilisation_between


class Span:
    """One stretch of time that is charged: a phase, a name while it is open, or the whole."""

    def __init__(self, name: str, parent: Span | None, began: Moment) -> None:
        self.name, self.parent, self.began = name, parent, began
        self.opened_in = parent.name if parent else None
        self.all, self.own = Tally(), Tally()
        self.peaks = Peaks()
        self.overlapped = False
        self.repeats = 1
        self.members = 0  # phases in the span of a name or of the whole
        self.error: str | None = None

    def add(self, seconds: float, drawn: Mapping[str, Drawn], share: float) -> None:
        """Give one interval, and `share` of it as exclusive."""
        self.all.add(seconds, drawn)
        if share:
            self.own.add(seconds, drawn, share)

    def phase(self, now: Moment, baseline: Baseline | None = None) -> Phase:
        """The figures of a span that was charged until `now`."""
        duration = now.at_s - self.began.at_s
        components = self.all.energies()
        own = sum_known(self.own.energies())
        energy = sum_known(components)
        samples = now.reading.gpu_samples - self.began.reading.gpu_samples
        percent = now.reading.gpu_percent - self.began.reading.gpu_percent
        return Phase(
            duration_s=duration,
            energy_j=energy,
            exclusive_duration_s=self.own.seconds,
            exclusive_energy_j=0.0 if energy is not None and not self.own.sums else own,
            net_energy_j=net_energy_j(components, duration, baseline),
            components=components,
            utilisation=utilisation_between(self.began.usage, now.usage, duration).model_copy(
                update={
                    "gpu_percent": percent / samples
                    if samples > 0 and self.began.source is now.source
                    else None,
                    "memory_percent": self.peaks.memory_percent,
                }
            ),
            peak_memory_bytes=self.peaks.resident_bytes,
            peak_gpu_memory_bytes=self.peaks.gpu_bytes,
            parent=self.opened_in,
            overlapped=self.overlapped,
            repeats=self.repeats,
            below_resolution=duration < RESOLUTION_S,
            error=self.error,
        )

    def lost(self, now_s: float) -> Phase:
        """The phase that a forked child leaves, though its parent process opened it."""
        why = "the phase was begun in another process"
        failed = Energy(energy_j=None, provenance="failed", detail=why, coverage=0.0)
        return Phase(
            duration_s=now_s - self.began.at_s,
            energy_j=None,
            components=dict.fromkeys(self.began.reading.components, failed),
        )


class Timeline:
    """The open phases, and who gets what of the next interval. Not thread-safe: its meter is."""

    def __init__(self) -> None:
        self.open: list[Span] = []
        self.names: dict[str, Span] = {}
        self.whole: Span | None = None
        self._last: Moment | None = None
        self._shares: dict[Span, float] = {}

    def begin(self, name: str, parent: Span | None, now: Moment) -> Span:
        """Open a phase. `parent` is the phase it was opened in."""
        self._charge(now)
        span = Span(name, parent, now)
        around = set(_ancestors(span))
        for other in self.open:
            if other not in around:
                for both in (span, other, self.names[other.name]):
                    both.overlapped = True
        self.open.append(span)
        if name not in self.names:
            self.names[name] = Span(name, parent, now)
            self.names[name].repeats = 0
        self.names[name].overlapped |= span.overlapped
        self.whole = self.whole or Span("", None, now)
        for outer in (self.names[name], self.whole):
            outer.members += 1
        self._divide()
        return span

    def end(self, span: Span, now: Moment) -> tuple[Span, Span]:
        """Close an open phase: the spans of its name and of the whole, charged until now."""
        self._charge(now)
        assert self.whole is not None
        spans = self.names[span.name], self.whole
        self.open.remove(span)
        for other in self.open:
            if other.parent is span:  # closed before what was opened in it
                other.parent = span.parent
        spans[0].repeats += span.repeats
        for outer in spans:
            outer.peaks = outer.peaks.higher(span.peaks)
            outer.error = outer.error or span.error
        if all(other.name != span.name for other in self.open):
            del self.names[span.name]
        if not self.open:
            self.whole = None
        self._divide()
        return spans

    def until(self, span: Span, now: Moment) -> Span:
        """What an open span would be if it were charged until `now`; nothing is changed."""
        assert self._last is not None
        seen = copy.copy(span)
        seen.all, seen.own = copy.deepcopy(span.all), copy.deepcopy(span.own)
        seconds, drawn = now.at_s - self._last.at_s, drawn_between(self._last, now)
        seen.add(seconds, drawn, self._shares[span])
        return seen

    def _charge(self, now: Moment) -> None:
        if self._last is not None and self._shares:
            seconds, drawn = now.at_s - self._last.at_s, drawn_between(self._last, now)
            for span, share in self._shares.items():
                span.add(seconds, drawn, share)
        self._last = now

    def _divide(self) -> None:
        """The exclusive share of each open span: the innermost phases have equal ones."""
        outer = {span for inner in self.open for span in _ancestors(inner)}
        inner = [span for span in self.open if span not in outer]
        self._shares = dict.fromkeys((*self.open, *self.names.values()), 0.0)
        for span in inner:
            self._shares[span] += 1 / len(inner)
            self._shares[self.names[span.name]] += 1 / len(inner)
        if self.whole is not None:
            self._shares[self.whole] = 1.0


def _ancestors(span: Span) -> Iterable[Span]:
    parent = span.parent
    while parent is not None:
        yield parent
        parent = parent.parent
