"""Adapters on one base in memory: put on and merged layer by layer, and taken off again.

    own weights ──merge──▶ weights with adapters          answering costs what a merged model costs
         ▲                        │
         └──── taken back ────────┘                       the very same numbers, from copies

Each layer that an adapter touches is merged by PEFT in float32 and rounded to the precision that
answers. So nothing depends on what was on before, nor on when the weights were opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import CannotRun, ModelError
from ..measure.memory import available_memory_bytes
from .hub import COMMIT
from .loading import is_quantized
from .quiet import quiet_peft, quiet_transformers

WEIGHTS = "adapter_model.safetensors"


def check_base(folder: Path, revision: str) -> None:
    """Raise `ModelError` where an adapter names another commit of its base than `revision`.

    Only commits of the hub are compared; an adapter that names none was made from a folder.
    """
    from peft import PeftConfig

    named = str(_read(PeftConfig.from_pretrained, folder, str(folder)).revision)
    if COMMIT.fullmatch(named) and COMMIT.fullmatch(revision) and named != revision:
        raise ModelError(
            f"{folder}: the adapter was made for revision {named} of its base, and the model here "
            f"has revision {revision}; take the base it was made for"
        )


class Base:
    """A transformers model in memory, and the way back to its own weights.

    `restorable` turns False where memory did not suffice for copies of what adapters changed: then
    the weights must be read anew.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.restorable = True
        self._structure: list[tuple[Any, dict[str, Any], dict[str, Any]]] = []
        self._own: list[tuple[Any, Any]] = []
        self._tied: Any = None

    def wear(self, adapters: Sequence[Path], *, keep: bool = True) -> Any:
        """The model with these adapters, in order, and no others: PEFT's wrapper where the last
        one cannot be merged.

        With `keep` what they change is copied to main memory first, if there is room. Raises
        `ModelError` for adapters that do not fit and `CannotRun` for those that do not combine;
        then none is on.
        """
        self.take_off()
        if not adapters:
            return self.model
        if is_quantized(self.model):
            raise CannotRun(
                "an adapter cannot be merged into quantised weights; tune, then quantize"
            )
        size = sum(int(weight.nbytes) for weight in self.model.parameters())
        self._remember(keep and available_memory_bytes() > size)
        worn = self.model
        try:
            for number, adapter in enumerate(adapters, start=1):
                worn = _with_adapter(worn, adapter)
                if worn is not self.model and number < len(adapters):
                    raise CannotRun(
                        f"the adapter {adapter.name} cannot be merged into the weights, so no "
                        "other can be applied after it; put it last"
                    )
        except (ModelError, CannotRun):
            if self.restorable:
                self.take_off()
            raise
        self._put_aside()
        if worn is self.model:
            worn.requires_grad_(True)  # PEFT froze it, and as opened it can be trained
        return worn.eval()

    def take_off(self) -> None:
        """Bring the model's own weights back, to the last bit."""
        if not self._structure:
            return
        if not self.restorable:
            raise RuntimeError("these weights were changed and their own not kept; open them anew")
        for module, modules, parameters in self._structure:
            for now, before in ((module._modules, modules), (module._parameters, parameters)):
                now.clear()
                now.update(before)
        for weight, own in self._own:
            weight.data = own.to(weight.device)
        self._structure, self._own = [], []
        vars(self.model).pop("peft_config", None)
        self.model.config.tie_word_embeddings = self._tied
        self.model.requires_grad_(True)

    def _remember(self, keep: bool) -> None:
        """What the model is made of. Nothing is copied yet: merging puts tensors of its own in the
        place of those that it changes."""
        self._structure = [
            (module, dict(module._modules), dict(module._parameters))
            for module in self.model.modules()
        ]
        self._own = [(weight, weight.data) for weight in self.model.parameters()] if keep else []
        self._tied = getattr(self.model.config, "tie_word_embeddings", None)
        self.restorable = keep

    def _put_aside(self) -> None:
        """Of the model's own tensors keep those that were replaced, in main memory."""
        self._own = [
            (weight, own.cpu())
            for weight, own in self._own
            if weight.data.data_ptr() != own.data_ptr()
        ]


def _with_adapter(model: Any, folder: Path) -> Any:
    """The model with one adapter merged; PEFT's wrapper around it where that cannot be."""
    from peft import PeftConfig, PeftModel

    if not (folder / WEIGHTS).is_file():
        raise ModelError(f"{folder} has no {WEIGHTS}, so it is no usable adapter")
    kind = _read(PeftConfig.from_pretrained, folder, str(folder))
    known = {id(weight) for weight in model.parameters()}
    device, dtype = model.device, model.dtype
    if isinstance(getattr(kind, "init_lora_weights", True), str):
        for weight in model.parameters():  # some starts of LoRA change the weights where they lie
            weight.data = weight.data.clone()
    with quiet_peft(), quiet_transformers():
        wrapped = _read(
            PeftModel.from_pretrained, folder, model, folder,
            config=kind, is_trainable=False, torch_device=str(device),
        )  # fmt: skip
        _check_layers(wrapped, folder)
        if kind.is_prompt_learning or not hasattr(wrapped.base_model, "merge_and_unload"):
            made = wrapped
        else:
            _merge_in_float32(wrapped)
            made = wrapped.merge_and_unload()
    for weight in made.parameters():  # a learnt prompt, or whole layers that were trained
        if id(weight) not in known:
            weight.data = weight.data.to(device=device, dtype=dtype)
    return made


def _read(read: Any, folder: Path, *args: Any, **options: Any) -> Any:
    from safetensors import SafetensorError

    try:
        return read(*args, **options)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: the adapter does not fit the model: {error}") from error


def _check_layers(wrapped: Any, folder: Path) -> None:
    """PEFT leaves layers that it finds no numbers for as they are, and passes over numbers that it
    finds no layer for."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    wanted = set(get_peft_model_state_dict(wrapped, save_embedding_layers=False))
    with safe_open(folder / WEIGHTS, framework="pt") as stored:
        given = set(stored.keys())
    lacking, beyond = wanted - given, given - wanted - set(wrapped.state_dict())
    if lacking or beyond:
        what = "has none for" if lacking else "has some for layers that are not there:"
        raise ModelError(
            f"{folder}: the adapter does not fit the model: of {len(wanted)} tensors it {what} "
            f"{min(lacking or beyond)}; it was made for another base"
        )


def _merge_in_float32(wrapped: Any) -> None:
    """Let each adapted layer merge in float32 tensors of its own, rounded to what it had after."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in wrapped.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge = _float32_merge(module, module.merge)  # type: ignore[method-assign]


def _float32_merge(layer: Any, merge: Any) -> Any:
    import torch

    def merged(*args: Any, **options: Any) -> None:
        dtypes = {}
        for name, weight in layer.get_base_layer().named_parameters():
            dtypes[name] = weight.dtype
            weight.data = weight.data.to(torch.float32, copy=True)
        merge(*args, **options)
        for name, weight in layer.get_base_layer().named_parameters():
            weight.data = weight.data.to(dtypes[name])

    return merged
