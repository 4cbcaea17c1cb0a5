"""What quantised weights change here: products of one layer's widths, beside those of floats."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

from ..models.quantization import quantized_layers, stored_bytes
from ..system import Quantization
from .timed import stopwatch

BATCH, TURNS = 64, 5
MORE_THAN_CACHES = 64 * 1024**2


class Slower(NamedTuple):
    """Times as long: an operation at a batch, and a byte (of those that are stored) at a row."""

    flop: float = 1.0
    byte: float = 1.0


def slower(quantization: Quantization, config: Any, device: str, dtype: str) -> Slower | None:
    """Measured in a second or two; None where a method cannot be tried on a layer by itself."""
    import torch

    wide, hidden = int(getattr(config, "intermediate_size", 0) or 2048), int(config.hidden_size)
    copies = max(1, MORE_THAN_CACHES // (wide * hidden * 4))
    plain = torch.nn.Sequential(*(
        torch.nn.Linear(hidden, wide, bias=False, device=device, dtype=getattr(torch, dtype))
        for _ in range(copies)
    ))  # fmt: skip
    made = quantized_layers(plain, quantization, device=device, dtype=dtype)
    if made is None:
        return None
    batch, alone = (_ratio(list(plain), list(made), rows, hidden, device) for rows in (BATCH, 1))
    sizes = [sum(stored_bytes(layer.weight) for layer in each) for each in (plain, made)]
    return Slower(batch, alone * sizes[0] / sizes[1])


def _ratio(plain: list[Any], made: list[Any], rows: int, hidden: int, device: str) -> float:
    """Seconds of the quantised layers over those of the plain ones, the median of some turns."""
    import torch

    taken: list[list[float]] = [[], []]
    with torch.inference_mode():
        for turn in range(TURNS + 1):
            for each, layers in zip(taken, (plain, made), strict=True):
                row = torch.ones(rows, hidden, dtype=layers[0].weight.dtype, device=device)
                with stopwatch(device) as seconds:
                    for layer in layers:
                        layer(row)
                each += seconds if turn else []  # the first one compiles
    return statistics.median(taken[1]) / statistics.median(taken[0])
