"""Replies kept on disk: what a model wrote once is not asked for, nor paid for, again.

Each reply is written as it comes, so a killed process loses none. Replies of one asking are a
batch: when it ends, they are settled with its metered phase, and each has its share of it, see
`first_costs`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from ..measure.record import Phase
from ..measure.work import Work
from ..models.generation import Reply
from .first_costs import FirstCosts, Recalled


class ResponseCache(FirstCosts[str, Reply]):
    """The replies in one file, by their keys; and which of them were used again."""

    file, table, key, column = "responses.sqlite", "replies", "TEXT", "reply TEXT"

    def keep(self, key: str, reply: Reply, batch: str) -> None:
        """Write one reply as it comes, unless there is one of this key; see `settle`."""
        row = (key, self._plain(reply), batch, None)
        self._database.do(
            lambda db: db.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?)", row)
        )

    def settle(
        self, batch: str, replies: Mapping[str, Reply], phase: Phase, work: Callable[[], Work]
    ) -> None:
        """Give the replies of a batch their shares of its phase, which sum to 1.

        `work` is called later, outside of any phase: to count operations takes seconds.
        """
        if not replies:
            return
        self._settle(batch, replies, shares(list(replies.values())), phase)
        self._unworked.append((batch, work))

    def recalled_since(self, mark: int) -> Recalled:
        """The replies used since `mark` that were made before it, each once, with what they cost.

        Not to be asked within a metered phase, as `Pool.work_since`.
        """
        replies, phases, work = self._recalled_since(mark)
        return Recalled(replies=replies, phases=phases, work=work)

    def _plain(self, made: Reply) -> str:
        """Without how long it was waited for: that is not so again."""
        names = [name for name in Reply.model_fields if name != "first_token_s"]
        return json.dumps({name: getattr(made, name) for name in names}, ensure_ascii=False)

    def _read(self, plain: str | bytes) -> Reply:
        return Reply.model_validate_json(plain)

    def _own(self, made: Reply) -> Work:
        """Its own tokens."""
        return Work(
            tokens_in=made.tokens_in,
            tokens_out=made.tokens_out,
            tokens_reused=made.tokens_reused,
            flops=0.0,
            bytes_moved=0.0,
        )


def shares(replies: Sequence[Reply]) -> list[float]:
    """Each reply's share of what all cost together, by the tokens read anew and written.

    Equal shares where tokens are not known.
    """
    tokens = [
        None
        if one.tokens_in is None or one.tokens_out is None
        else one.tokens_in - one.tokens_reused + one.tokens_out
        for one in replies
    ]
    known = [count for count in tokens if count is not None]
    whole = sum(known)
    if len(known) < len(tokens) or whole <= 0:
        return [1 / len(replies)] * len(replies)
    return [count / whole for count in known]
