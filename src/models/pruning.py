"""Pruning by depth: which decoder layers change a text least, and a model without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import CannotRun


def decoder_layers(model: Any) -> Any:
    """The `ModuleList` of a transformers model's decoder layers; `CannotRun` if it has none."""
    import torch

    count = model.config.get_text_config().num_hidden_layers
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return module
    raise CannotRun(f"{type(model).__name__} keeps its layers in no list, so none can be dropped")


def block_distances(model: Any, prompts: Sequence[Sequence[int]], drop: int) -> list[float]:
    """How far each block of `drop` neighbouring layers turns the last token's hidden state.

    The mean angular distance over `prompts` (token ids), between 0 and 1, for the block that begins
    at each layer: arccos of the cosine between what enters the block and what leaves it, over pi
    (Gromov et al. 2024, "The Unreasonable Ineffectiveness of the Deeper Layers", arXiv 2403.17887,
    section 3.2).
    """
    import torch

    layers = decoder_layers(model)
    states: list[torch.Tensor] = []

    def enters(_: Any, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        states.append((args[0] if args else given["hidden_states"])[0, -1])

    def leaves(_: Any, __: Any, out: Any) -> None:
        states.append((out[0] if isinstance(out, tuple) else out)[0, -1])

    # By hooks, for the last of transformers' own hidden states comes after the final norm.
    hooks = [layer.register_forward_pre_hook(enters, with_kwargs=True) for layer in layers]
    hooks.append(layers[-1].register_forward_hook(leaves))
    sums = torch.zeros(len(layers) + 1 - drop, dtype=torch.float64)
    try:
        for prompt in prompts:
            states.clear()
            with torch.inference_mode():
                ids = torch.tensor([list(prompt)], device=model.device)
                model(input_ids=ids, use_cache=False, logits_to_keep=1)
            run = torch.stack(states).double().cpu()
            cosine = torch.nn.functional.cosine_similarity(run[:-drop], run[drop:])
            sums += cosine.clamp(-1, 1).arccos() / torch.pi
    finally:
        for hook in hooks:
            hook.remove()
    return (sums / len(prompts)).tolist()


def drop_layers(model: Any, dropped: Sequence[int]) -> None:
    """Remove decoder layers, counted from 0, in place; to be saved and opened again.

    The configuration follows, and so do its lists with one entry a layer (kinds of attention).
    """
    layers = decoder_layers(model)
    config, count = model.config.get_text_config(), len(layers)
    for name, value in vars(config).items():
        if isinstance(value, list) and len(value) == count:
            setattr(config, name, [v for i, v in enumerate(value) if i not in dropped])
    config.num_hidden_layers = count - len(set(dropped))
    for index in sorted(set(dropped), reverse=True):
        del layers[index]
