"""Where a model runs, in which number format, and whether it fits."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CannotRun, InputError, ModelError, StorageError
from ..files import cache_folder, write_json
from ..measure.environment import cpu_model
from ..values import digest
from .folders import stores_quantized

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
GAIN = 1.2
"""How much faster bfloat16 must be to be worth its rounding."""


def preferred_device() -> str:
    """``cuda`` where there is one, else ``mps``, else ``cpu``."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def preferred_dtype(device: str) -> str:
    """``bfloat16`` where the hardware computes in it and gains by it, else ``float32``.

    A processor may have bfloat16 instructions that are slower than its float32 ones (seen with
    AVX512-BF16 but no AMX), so there the two race once; the cache keeps the verdict.
    """
    import torch

    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(False) else "float32"
    if device == "cpu" and _cpu_has_bfloat16() and _bfloat16_wins():
        return "bfloat16"
    return "float32"


def _cpu_has_bfloat16() -> bool:
    """Asks torch; its questions are private, so an absent one counts as no."""
    import torch

    for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        ask = getattr(torch.cpu, question, None)
        if ask is not None and ask():
            return True
    return False


@functools.cache
def _bfloat16_wins() -> bool:
    """The verdict of the race on this processor with this torch, kept so that it never flips."""
    import torch

    note = cache_folder() / "machine" / f"{digest([cpu_model(), torch.__version__])}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return float(json.loads(note.read_text(encoding="utf-8"))["bfloat16_speedup"]) >= GAIN
    speedup = _bfloat16_speedup()
    with contextlib.suppress(StorageError):  # then it races again next time
        write_json(note, {"cpu": cpu_model(), "bfloat16_speedup": round(speedup, 2)})
    return speedup >= GAIN


def _bfloat16_speedup(turns: int = 7) -> float:
    """How much faster a bfloat16 matrix product is than a float32 one; the best of some turns."""
    import torch

    best: dict[torch.dtype, float] = {}
    for dtype in (torch.float32, torch.bfloat16) * turns:
        rows, weights = torch.ones(256, 512, dtype=dtype), torch.ones(1536, 512, dtype=dtype)
        torch.nn.functional.linear(rows, weights)  # the first call compiles its kernel
        began = time.perf_counter()
        for _ in range(4):
            torch.nn.functional.linear(rows, weights)
        took = time.perf_counter() - began
        best[dtype] = min(took, best.get(dtype, took))
    return best[torch.float32] / best[torch.bfloat16]


def check_dtype(dtype: str) -> str:
    """`dtype` itself, or an `InputError` naming those that can be used."""
    if dtype not in DTYPE_BYTES:
        raise InputError(f'dtype "{dtype}" is not one of {", ".join(DTYPE_BYTES)}')
    return dtype


def parameter_count(folder: Path) -> int:
    """Numbers stored in the safetensors files of `folder`, from their headers alone."""
    count = 0
    for path in folder.glob("*.safetensors"):
        try:
            with path.open("rb") as stream:
                (length,) = struct.unpack("<Q", stream.read(8))
                header = json.loads(stream.read(length))
        except (OSError, ValueError, struct.error) as error:
            raise ModelError(f"{path} is no whole safetensors file; fetch it again") from error
        header.pop("__metadata__", None)
        count += sum(math.prod(tensor["shape"]) for tensor in header.values())
    return count


def required_memory_bytes(folder: Path, dtype: str, *, batch_tokens: int = 8192) -> int:
    """Bytes that opening the model of `folder` and answering with it will take at most, about.

    Weights in `dtype` (quantised ones as they are stored), the keys and values of `batch_tokens`
    tokens, and the widest activations of as many: four of the width of the MLP
    and eight of the hidden width, counted on the decoder used by the Llama family.
    """
    size = DTYPE_BYTES[check_dtype(dtype)]
    weights = parameter_count(folder) * size
    if stores_quantized(folder):
        weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    hidden = int(config.get("hidden_size") or 0)
    activations = 4 * int(config.get("intermediate_size") or 4 * hidden) + 8 * hidden
    return weights + batch_tokens * size * (key_width(config) + activations)


def key_width(config: Mapping[str, Any]) -> int:
    """Numbers that the keys and values of one token take in all layers, at least 1."""
    hidden = int(config.get("hidden_size") or 0)
    layers = int(config.get("num_hidden_layers") or 0)
    heads = int(config.get("num_attention_heads") or 1)
    head = int(config.get("head_dim") or hidden // heads)
    return max(1, 2 * layers * int(config.get("num_key_value_heads") or heads) * head)


def check_memory(what: str, required_bytes: int, available_bytes: int) -> None:
    """Raise `CannotRun` with both numbers when it does not fit.

    Out of memory on a CPU is a kill by the system and no exception, so it is asked before.
    """
    if required_bytes > available_bytes:
        raise CannotRun(
            f"{what} needs {required_bytes / 1e9:.1f} GB of memory, "
            f"has {available_bytes / 1e9:.1f} GB; choose a smaller model or free some memory"
        )
