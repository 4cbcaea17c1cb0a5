"""Models that weigh nothing: what they would do, tallied, and what that would be worth.

A `WeightlessModel` takes an open model's place; see `given` for how its passes come about.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..measure.work import Costs, Tally, Work
from ..models.chat import chat_ids
from ..models.devices import key_width
from ..models.flops import Kind
from ..models.generation import Generation, Told, check_window, tally_texts
from ..models.local import BATCH_BYTES
from ..models.writer import GUESSES
from ..values import canonical_json
from .costs import kept_costs
from .given import GivenWriter, Watch, hollow_model
from .lengths import Lengths
from .quantised_trial import Slower

if TYPE_CHECKING:
    from ..prompt import Message
    from ..system import Decoding
    from .lengths import Taught

FLOAT_BYTES = 4
RateName = Literal["answering", "embedding", "training_adapter", "training_all"]
"""Which rates of a calibration some work is reckoned by."""


class Ways(NamedTuple):
    """A tally for each way that it may go: as is likely, with the shortest and the longest answers
    (or trainings) that there may be."""

    likely: Tally = Tally()
    short: Tally = Tally()
    long: Tally = Tally()

    def plus(self, other: Ways) -> Ways:
        """Both together."""
        return Ways(*(one + two for one, two in zip(self, other, strict=True)))

    def minus(self, other: Ways) -> Ways:
        """What came after `other`."""
        return Ways(*(one - two for one, two in zip(self, other, strict=True)))

    @classmethod
    def certain(cls, tally: Tally) -> Ways:
        """The same, whichever way it goes."""
        return cls(tally, tally, tally)


class Account3:
    """What a model would do, tallied for the three `Ways`, and what a unit of it costs.

    Takes the place of `models.account.Account` in a pool: what is likely is its `tally`. `slower`
    is what the model's weights change of the rates.
    """

    def __init__(self, model: Any, kind: Kind, rates: RateName) -> None:
        self._skeleton, self._kind, self.rates = model, kind, rates
        self.slower: Slower = getattr(model, "slower", Slower())
        self.ways = Ways()

    @functools.cached_property
    def costs(self) -> Costs:
        """Counted as for a record, on a copy without weights."""
        return kept_costs(self._skeleton, self._kind)

    @property
    def width(self) -> int:
        """The size of its hidden states; 0 where it is not known."""
        config = getattr(self._skeleton, "config", None)
        return int(getattr(config and config.get_text_config(), "hidden_size", 0) or 0)

    @property
    def tally(self) -> Tally:
        """What is likely."""
        return self.ways.likely

    def add(self, ways: Ways) -> None:
        """Enter what would be done."""
        self.ways = self.ways.plus(ways)

    def work(self, since: Tally | None = None) -> Work:
        """What is likely, as `Account.work` tells it."""
        return self.costs.work(self.tally - (since or Tally()))


class WeightlessModel:
    """A language model of this machine that is planned with: tokenizer and configuration only.

    `model` is its skeleton, `taught` how it was shown what an answer looks like, and `lengths` give
    the answers. `weights_bytes` are those of its weights in the precision that answers.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        lengths: Lengths,
        *,
        device: str,
        itemsize: int,
        free_bytes: int,
    ) -> None:
        self.tokenizer, self.lengths = tokenizer, lengths
        self.taught: Taught = "plain"
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._config = inner.config.get_text_config()
        self.account = Account3(inner, "answering", "answering")
        self.weights_bytes = sum(
            int(getattr(weight, "stored_bytes", weight.nbytes)) for weight in model.parameters()
        )
        self._key_bytes = key_width(self._config.to_dict()) * itemsize
        self._columns = max(1, min(BATCH_BYTES, free_bytes // 4) // self._key_bytes)
        hollow = hollow_model(self._config, inner.dtype)
        self._end = tokenizer.eos_token_id or 0
        self._virtual = virtual_tokens(model)
        self._writers = [
            GivenWriter(
                hollow,
                tokenizer,
                device="cpu",
                ends=frozenset({self._end}),
                pad=0,
                account=Watch(),
            )
            for _ in Ways._fields
        ]
        for writer in self._writers:  # how many tokens a lone row guesses depends on the device
            if not device.startswith("cpu"):
                writer.guesses = GUESSES
        self._encoded: dict[str, list[int]] = {}

    @property
    def held_bytes(self) -> tuple[int, int, int]:
        """Weights, and the keys, values and scores of the largest batch: of the likely, the
        shortest and the longest answers."""
        likely, short, long = (
            self.weights_bytes
            + writer.cells * self._key_bytes
            + writer.most_rows * int(self._config.vocab_size) * FLOAT_BYTES
            for writer in self._writers
        )
        return likely, short, long

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat, each chat once."""
        key = canonical_json(messages)
        if key not in self._encoded:
            self._encoded[key] = chat_ids(self.tokenizer, messages, add_generation_prompt=True)
        return self._encoded[key]

    def generate(
        self,
        messages: Sequence[list[Message]],
        decoding: Decoding,
        *,
        seed: int = 0,
        told: Told | None = None,
        **_: Any,
    ) -> list[Generation]:
        """The likely answers; all three ways are tallied."""
        if not messages:
            return []
        window = getattr(self._config, "max_position_embeddings", None)
        prompts = [self.encode_chat(chat) for chat in messages]
        check_window(prompts, messages, decoding.max_tokens, int(window) if window else None)
        wanted = self.lengths.answers(messages, decoding, self.taught, self._ids, self._end)
        tallies, found = [], []
        for writer, answers in zip(self._writers, wanted, strict=True):
            before = writer.account.tally
            made = writer.write_given(
                prompts, [ids[: decoding.max_tokens] for ids in answers], decoding,
                columns=self._columns,
            )  # fmt: skip
            found.append(made)
            tallies.append(writer.account.tally - before + tally_texts(made))
        self.account.add(Ways(*(self._with_virtual(tally) for tally in tallies)))
        for number, reply in enumerate(found[0] if told else ()):
            assert told is not None
            told(number, reply)
        return found[0]

    def _with_virtual(self, tally: Tally) -> Tally:
        """With the keys of a learnt prompt, which stand before every prompt."""
        if not self._virtual:
            return tally
        pairs = tally.pairs + tally.positions * self._virtual
        return tally.model_copy(update={"pairs": pairs})

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def close(self) -> None:
        """Nothing is held."""


def virtual_tokens(model: Any) -> int:
    """How many keys a learnt prompt puts before every text; 0 for any other model."""
    config: Any = getattr(model, "active_peft_config", None)
    return int(config.num_virtual_tokens) if getattr(config, "is_prompt_learning", False) else 0
