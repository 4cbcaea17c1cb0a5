"""The weights of a training: what comes in to be trained on, and what is left when it is done."""

from __future__ import annotations

from typing import Any

from ..answering.session import Session
from ..errors import CannotRun
from ..system import System
from .base import Previous

UNMERGEABLE = (
    "the System has an adapter that cannot be merged into the weights (a learnt prompt), so "
    "nothing can be trained or merged after it; put it last"
)


def base_model(session: Session, *, trains_base: bool) -> tuple[Any, bool]:
    """The incoming weights to train, adapters merged; `CannotRun` where one cannot be merged."""
    from peft import PeftModel

    model, bf16 = session.training_model(trains_base=trains_base)
    if isinstance(model, PeftModel):
        raise CannotRun(UNMERGEABLE)
    return model, bf16


def same_weights(system: System, previous: Previous) -> bool:
    """Whether a training of `system` starts from the weights that the older one started from."""
    now, then = system.identity(), previous.inputs["system"]
    return all(now.get(name) == then.get(name) for name in ("model", "weights", "adapters"))


def whole(model: Any, state: dict[str, Any] | None) -> Any:
    """The model with all of its weights, where it had a part of them and `state` has all."""
    import torch

    if state is None:
        return model
    with torch.device("meta"):
        made = type(model)(model.config)
    made.load_state_dict(state, strict=False, assign=True)
    made.tie_weights()
    assert not any(weight.is_meta for weight in made.parameters())
    return made
