"""The project's writer with answers that are given: it lays out its batches and computes nothing.

    prompts ─▶ forks, batches, passes, as `models.writer` makes them ─▶ a tally of passes
                 ▲                                              (the answers' tokens are given)
                 └ a model without layers, whose passes are counted and compute no numbers

So what a plan tallies and what a run tallies come from the same code.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ..measure.work import Tally
from ..models.account import Account
from ..models.batch import Batch
from ..models.batching import forks, plan_batches
from ..models.generation import Generation
from ..models.local import BATCH_ROWS
from ..models.rows import Rows
from ..models.writer import Writer

if TYPE_CHECKING:
    import torch

    from ..system import Decoding


class Watch(Account):
    """Tallies the passes of a model without layers."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._kind = "answering"


def hollow_model(config: Any, dtype: Any) -> Any:
    """A model of this configuration without layers."""
    made = _hollow()(config)
    made.dtype = dtype
    return made


@functools.cache
def _hollow() -> Any:
    """The class of a model without layers; made when asked for, for torch takes long to import."""
    import torch

    class Hollow(torch.nn.Module):
        """Has the configuration of a model, and keys of one number a token."""

        def __init__(self, config: Any) -> None:
            super().__init__()
            self.config, self.dtype = config, torch.float32

        def forward(
            self, input_ids: Any, past_key_values: Any, logits_to_keep: int = 1, **_: Any
        ) -> Any:
            rows, length = input_ids.shape
            keys = torch.zeros(rows, 1, length, 1)
            past_key_values.update(keys, keys, 0)
            return SimpleNamespace(logits=torch.zeros(rows, logits_to_keep, 1))

    return Hollow


class Given:
    """Picks the tokens that are given, and ends each row with the last of them: in a batch it takes
    the places of `Picker` and of `RowEnds`."""

    def __init__(self, wanted: Sequence[Sequence[int]], tokenizer: Any) -> None:
        self.rows: list[list[int]] = [[] for _ in wanted]
        self._wanted, self._tokenizer = wanted, tokenizer

    def pick(self, logits: torch.Tensor, rows: Sequence[int]) -> list[int]:
        """The next token of each of `rows`; of guesses that are read along, one only is asked."""
        return [self._wanted[row][len(self.rows[row])] for row in rows]

    def add(self, row: int, token: int) -> bool:
        """Remember a token; whether it was the last one."""
        self.rows[row].append(token)
        return len(self.rows[row]) == len(self._wanted[row])

    def done(self, row: int) -> bool:
        """Never before its last token."""
        return False

    def text(self, row: int) -> str:
        """What the tokens say."""
        return str(self._tokenizer.decode(self.rows[row], skip_special_tokens=True)).strip()


class GivenBatch(Batch):
    """A batch whose answers are given; `read` are the columns that its prompts took."""

    read = 0

    def _read(self) -> tuple[Rows, torch.Tensor]:
        rows, logits = super()._read()
        self.read = rows.end
        return rows, logits


class GivenWriter(Writer):
    """The project's writer, for answers that are given. Of its largest batch `cells` are the places
    that keys and values took, `most_rows` the rows."""

    cells = most_rows = 0

    def write_given(
        self,
        prompts: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]],
        decoding: Decoding,
        *,
        columns: int,
    ) -> list[Generation]:
        """As `Writer.write`, in the order of the prompts."""
        made: dict[int, Generation] = {}
        with self.account.watching(self.model):
            trunk = self._trunk(prompts)
        shared = len(trunk.ids) if trunk else 0
        rests = [prompt[shared:] for prompt in prompts]
        batches = plan_batches(
            forks(rests),
            [len(rest) for rest in rests],
            more=decoding.max_tokens,
            columns=columns,
            rows=BATCH_ROWS,
        )
        plain = decoding.model_copy(update={"temperature": 0.0, "choices": ()})
        alone = time.perf_counter() if len(prompts) == 1 else None
        for groups in batches:
            batch = GivenBatch(self, groups, rests, trunk, plain, [0] * len(prompts))
            wanted = [answers[number] for number in batch.numbers]
            batch.picker = batch.ends = Given(wanted, self.tokenizer)  # type: ignore[assignment]
            batch.write(made, lambda number, reply: None, alone)
            cells = len(wanted) * (batch.read + max(map(len, wanted))) + shared
            self.cells = max(self.cells, cells)
            self.most_rows = max(self.most_rows, len(wanted))
        return [made[number] for number in range(len(prompts))]
