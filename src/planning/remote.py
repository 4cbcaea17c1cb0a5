"""A model that others run, planned with: tokens by letters, joules by the published estimate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..endpoint_ref import EndpointRef
from ..measure.accounts.endpoint_energy import TokenEnergy, token_energy
from ..measure.predicted import Expected
from ..measure.work import Tally
from ..models.generation import Reply, Told
from ..strategies.long_context import CHARACTERS_A_TOKEN
from .lengths import FREE_TEXT, Lengths
from .weightless import Account3, Ways

if TYPE_CHECKING:
    from ..prompt import Message
    from ..system import Decoding
    from .lengths import Taught


class ServedAccount(Account3):
    """What an endpoint would be asked; its operations and its time are not known."""

    def __init__(self, energy: TokenEnergy | None) -> None:
        super().__init__(None, "answering", "answering")
        self.energy = energy

    def joules(self, ways: Ways) -> Expected | None:
        """What a managed endpoint draws for some tokens, by its estimate and the estimate's own
        range; None where there is no estimate."""
        if self.energy is None:
            return None
        likely, short, long = (self.energy.joules(one.tokens_in, one.tokens_out) for one in ways)
        return Expected(likely=likely, low=short * self.energy.low, high=long * self.energy.high)


class PlannedEndpoint:
    """Stands in for an endpoint's client: nothing is asked. How long it would take is not known."""

    def __init__(self, ref: EndpointRef, lengths: Lengths) -> None:
        self.lengths = lengths
        self.taught: Taught = "plain"
        managed = not ref.on_this_machine
        self.account = ServedAccount(token_energy(ref.energy, ref.model) if managed else None)

    def generate(
        self,
        messages: Sequence[list[Message]],
        decoding: Decoding,
        *,
        told: Told | None = None,
        **_: Any,
    ) -> list[Reply]:
        """Replies as long as is likely; all three ways are tallied."""
        read = sum(_tokens("".join(turn["content"] for turn in chat)) for chat in messages)
        wanted = self.lengths.answers(
            messages, decoding, self.taught, lambda text: [0] * _tokens(text), 0
        )
        self.account.add(
            Ways(*(Tally(tokens_in=read, tokens_out=sum(map(len, way))) for way in wanted))
        )
        made = [
            Reply(text=chat[-1]["content"][-FREE_TEXT:], tokens_in=None, tokens_out=len(answer))
            for chat, answer in zip(messages, wanted[0], strict=True)
        ]
        for number, reply in enumerate(made if told else ()):
            assert told is not None
            told(number, reply)
        return made

    def close(self) -> None:
        """Nothing is held."""


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_A_TOKEN)
