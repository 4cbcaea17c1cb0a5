"""One at a time: some questions asked as one person would, each when the one before is answered."""

from __future__ import annotations

import time
from collections.abc import Sequence

from .answering.pool import Pool
from .answering.session import Session
from .measure.record import Phase
from .measure.serving import Realtime, realtime_of
from .strategies import Progress
from .tasks.task import Example


def one_at_a_time(
    name: str, examples: Sequence[Example], session: Session, pool: Pool, progress: Progress
) -> tuple[Phase | None, Realtime | None]:
    """The metered phase "realtime" of the run `name` and what waiting was like; None, None where
    nothing is asked. `session` should keep no replies, or they are found and nothing is waited for.
    """
    if not examples:
        return None, None
    mark = pool.mark()
    latency_s: list[float] = []
    first_token_s: list[float] = []
    with pool.meter.phase("realtime") as metered:
        for number, example in enumerate(examples):
            progress(f"{name}: one at a time", number, len(examples))
            before = time.perf_counter()
            answer = session.answer([example])[0]
            took = time.perf_counter() - before
            if not answer.failed:
                latency_s.append(took)
                if answer.first_token_s is not None:
                    first_token_s.append(answer.first_token_s)
        progress(f"{name}: one at a time", len(examples), len(examples))
    phase = pool.with_endpoints(metered.result, mark)
    return phase, realtime_of(len(examples), phase.energy_j, latency_s, first_token_s)
