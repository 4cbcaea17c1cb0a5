"""Handle: one phase of a meter, as a context manager."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from .record import Phase
from .timeline import Span

if TYPE_CHECKING:
    from .meter import Meter


class PhaseHandle:
    """A phase as a context manager; `result` is there once it is closed.

    It may be closed in another thread than it was opened in, or after phases around it. Closing it
    twice changes nothing. `repeats` says how often the work was done within, and may be set.
    """

    def __init__(self, meter: Meter, name: str) -> None:
        self.name = name
        self.repeats = 1
        self._meter = meter
        self._spans: list[Span] = []
        self._result: Phase | None = None

    @property
    def result(self) -> Phase:
        """The measured phase. Raises RuntimeError while the phase is still open."""
        if self._result is None or self._spans:
            raise RuntimeError(
                f'the phase "{self.name}" has not ended; its figures come at its end'
            )
        return self._result

    def so_far(self) -> Phase:
        """The figures until now, from any thread, without a trace in those at the end.

        Of a closed phase the result. Raises RuntimeError before the phase was opened.
        """
        spans = self._spans[-1:]
        seen = self._meter._so_far(spans[0], self.repeats) if spans else None
        return seen or self.result

    def __enter__(self) -> Self:
        self._spans.append(self._meter._begin(self.name))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._spans:
            self._result = self._meter._end(self._spans[-1], self.repeats, error)
            self._spans.pop()
