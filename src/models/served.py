"""What an endpoint was asked and what came back, counted: its account, and the Record's figures."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..endpoint_ref import EndpointRef
from ..errors import CannotRun
from ..measure.accounts.endpoint_energy import TokenEnergy, token_energy, with_endpoint_energy
from ..measure.record import Phase
from ..measure.work import NO_WORK, Tally, Work

FAILED_SHARE = 0.1
"""More questions without an answer than this share, and the scores would tell of the server."""

COUNTED = (
    "questions", "requests", "retries", "rate_limited", "empty", "failed", "without_token_counts",
)  # fmt: skip


class Served:
    """The account of one endpoint: `tally` of tokens, and `counts` of how it went.

    Of the counts, `requests` were sent, `retries` of them because an earlier one had failed;
    `rate_limited` were answered with 429 and `empty` with no text; `failed` questions have no
    answer after all tries. Any other name is a reason why requests failed.
    """

    def __init__(self, ref: EndpointRef) -> None:
        self.name, self.managed = ref.name, not ref.on_this_machine
        self.tally = Tally()
        self.counts: Counter[str] = Counter()
        self.energy: TokenEnergy | None = None
        if self.managed:
            self.energy = token_energy(ref.energy, ref.model)

    def read(self, tokens_in: int | None, tokens_out: int | None, reused: int = 0) -> None:
        """Enter the tokens of one reply, whether or not its text was of use."""
        if tokens_in is None or tokens_out is None:
            self.counts["without_token_counts"] += 1
            self.tally += Tally(untold=1)
        else:
            self.tally += Tally(tokens_in=tokens_in, tokens_out=tokens_out, tokens_reused=reused)

    def billed(self, phase: Phase, since: Tally) -> Phase:
        """`phase` with the energy of a managed endpoint, modelled from its tokens `since` then."""
        if not self.managed or self.tally == since:
            return phase
        work = self.work(since)
        return with_endpoint_energy(phase, work.tokens_in, work.tokens_out, self.energy)

    def give_up(self, reason: str) -> None:
        """Enter a question without an answer; `CannotRun` once they are too many."""
        self.counts["failed"] += 1
        failed, asked = self.counts["failed"], self.counts["questions"]
        if failed > FAILED_SHARE * asked:
            raise CannotRun(
                f"{self.name}: {failed} of {asked} questions have no answer, more than "
                f"{FAILED_SHARE:.0%}; the last: {reason}"
            )

    def work(self, since: Tally | None = None) -> Work:
        """The tokens since an earlier `tally`; unknown where a reply did not tell its own, and so
        are a server's operations."""
        done = self.tally - (since or Tally())
        if done == Tally():
            return NO_WORK
        return Work(
            tokens_in=None if done.untold else done.tokens_in,
            tokens_out=None if done.untold else done.tokens_out,
            tokens_reused=done.tokens_reused,
        )


def plain_counts(counts: Counter[str]) -> dict[str, Any]:
    """Counts as a Record holds them, the reasons of failures among themselves."""
    reasons = {name: counts[name] for name in sorted(counts) if name not in COUNTED}
    return {**{name: counts[name] for name in COUNTED}, "reasons": reasons}
