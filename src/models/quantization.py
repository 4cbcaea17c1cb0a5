"""Quantised weights: by torchao on CPU and GPU, by bitsandbytes on GPU, through transformers.

Linear layers are quantised; embeddings, norms and the output head stay as they are. Quantised
weights are saved as safetensors and open like any others: their configuration says what they are.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import CannotRun
from ..system import Quantization
from .loading import load_weights
from .quiet import quiet_transformers

PACKED_ROWS = 16
"""torch packs int4 weights for a CPU in blocks of so many outputs (its `int4mm_kernel.cpp`)."""


def check_quantizer(quantization: Quantization, device: str) -> None:
    """Raise `CannotRun` unless this machine has the device and the package that a method needs."""
    method = quantization.method
    kind = device.partition(":")[0]
    package, devices, extra = "torchao", "cpu or cuda", "quant"
    if method.startswith("bnb"):
        package, devices, extra = "bitsandbytes", "cuda", "gpu"
    if kind not in devices.split(" or "):
        raise CannotRun(f"quantize.method {method} needs {devices}; here is {kind}")
    if find_spec(package) is None:
        raise CannotRun(
            f"quantize.method {method} needs the package {package}: pip install 'wattune[{extra}]'"
        )


def warm_up(quantization: Quantization) -> None:
    """Import what a method needs, which takes some seconds; where it is not there, do nothing."""
    bnb = quantization.method.startswith("bnb")
    with contextlib.suppress(ImportError), quiet_transformers():
        importlib.import_module("bitsandbytes" if bnb else "torchao.quantization")


def quantize(source: Path, quantization: Quantization, *, device: str, dtype: str) -> Any:
    """The model of `source`, which stores floats, with its linear layers quantised.

    `dtype` is what they compute in, but for int4: torch's kernels for it are made for bfloat16, and
    on a CPU 18 to 150 times slower in float32 (measured on layers of 576 x 1536 with 1 to 256 rows,
    torch 2.13, AVX512, 2026). Raises `CannotRun` where a method does not fit the machine or the
    model's widths, `ModelError` as `load_weights`.
    """
    check_quantizer(quantization, device)
    if quantization.method == "int4_weight_only":
        dtype = "bfloat16"
    with quiet_transformers():
        if quantization.method == "int4_weight_only":
            _check_widths(source, quantization.group_size or 0, packed=device == "cpu")
        config = _transformers_config(quantization, device, dtype)
        model = load_weights(source, dtype, device, quantization_config=config)
        if quantization.method == "int4_weight_only" and device == "cpu":
            # torchao reads only its stable settings back; how weights are packed they say.
            from torchao.quantization import (  # type: ignore[import-untyped]
                Int4WeightOnlyConfig,
            )

            stable = Int4WeightOnlyConfig(group_size=quantization.group_size)
            model.config.quantization_config.quant_type = stable
        return model


def _check_widths(source: Path, group_size: int, *, packed: bool) -> None:
    """Layers that do not fit would be left as they are, or fail, without a word on which."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    classes: Any = AutoModelForCausalLM
    with torch.device("meta"):
        model = classes.from_config(AutoConfig.from_pretrained(source))
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear) or module is head:
            continue
        if module.in_features % group_size:
            raise CannotRun(
                f"quantize.group_size {group_size} does not divide the width "
                f"{module.in_features} of {name}; choose another, 32 or 64"
            )
        if packed and module.out_features % PACKED_ROWS:
            raise CannotRun(
                f"int4_weight_only on a CPU takes layers of a multiple of {PACKED_ROWS} outputs, "
                f"and {name} has {module.out_features}; choose int8_weight_only"
            )


def _transformers_config(quantization: Quantization, device: str, dtype: str) -> Any:
    method = quantization.method
    if method.startswith("bnb"):
        import torch
        from transformers import BitsAndBytesConfig

        bits: Any = BitsAndBytesConfig
        if method == "bnb_8bit":
            return bits(load_in_8bit=True)
        return bits(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",  # 4-bit NormalFloat, arXiv 2305.14314
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
    from torchao import quantization as ao  # type: ignore[import-untyped]
    from torchao.prototype.quantization.int4 import (  # type: ignore[import-untyped]
        PrototypeInt4WeightOnlyConfig,
    )
    from transformers import TorchAoConfig

    # Else torchao changes the settings of torch's compiler for the whole process.
    made: dict[str, Any] = {"set_inductor_config": False}
    if method == "int8_weight_only":
        return TorchAoConfig(ao.Int8WeightOnlyConfig(**made))
    if method == "int8_dynamic":
        return TorchAoConfig(ao.Int8DynamicActivationInt8WeightConfig(**made))
    made["group_size"] = quantization.group_size
    # For each device the packing that torch itself has a kernel for.
    if device == "cpu":
        return TorchAoConfig(PrototypeInt4WeightOnlyConfig(**made))
    packing: Any = "tile_packed_to_4d"
    return TorchAoConfig(ao.Int4WeightOnlyConfig(**made, int4_packing_format=packing))


def quantized_layers(layers: Any, quantization: Quantization, *, device: str, dtype: str) -> Any:
    """A copy of a sequence of linear layers with quantised weights, as `quantize` would make them,
    to try them; None for a method that takes a whole model only. Raises as `check_quantizer`."""
    check_quantizer(quantization, device)
    if quantization.method.startswith("bnb"):
        return None
    if quantization.method == "int4_weight_only":
        dtype = "bfloat16"
    import torch

    with quiet_transformers(), torch.inference_mode():
        from torchao.quantization import quantize_

        made = copy.deepcopy(layers).to(getattr(torch, dtype))
        quantize_(made, _transformers_config(quantization, device, dtype).quant_type)
    return made


def stored_bytes(weight: Any) -> int:
    """Bytes that a weight really takes: a quantised one claims the size of what it stands for."""
    if hasattr(weight, "__tensor_flatten__"):  # torchao: a tensor made of tensors
        return sum(int(getattr(weight, name).nbytes) for name in weight.__tensor_flatten__()[0])
    state = getattr(weight, "quant_state", None)  # bitsandbytes: scales beside the weight
    scales = (getattr(weight, "SCB", None), getattr(state, "absmax", None))
    return int(weight.nbytes) + sum(int(scale.nbytes) for scale in scales if scale is not None)


def float_skeleton(model: Any) -> Any:
    """The skeleton of a quantised model as it was before: it does the same operations.

    Each weight carries, as `stored_bytes`, what it takes quantised.
    """
    import torch
    from peft import PeftModel, get_peft_model

    adapted = isinstance(model, PeftModel)
    base = model.get_base_model() if adapted else model
    config = copy.deepcopy(base.config)
    del config.quantization_config
    with quiet_transformers(), torch.device("meta"):
        bare = type(base)(config).to(base.dtype).eval()
        if adapted:
            bare = get_peft_model(bare, copy.deepcopy(model.active_peft_config))
    taken = {name: stored_bytes(weight) for name, weight in model.named_parameters()}
    for name, weight in bare.named_parameters():
        weight.stored_bytes = taken[name]
    return bare
