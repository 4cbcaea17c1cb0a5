"""Adapters on a frozen base, by Hugging Face's peft, in its own field names."""

from __future__ import annotations

import copy
import dataclasses
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from ..errors import CannotRun, InputError, did_you_mean
from ..values import Value
from .quiet import quiet_import, quiet_training

OURS = frozenset({
    "peft_type", "task_type", "inference_mode", "base_model_name_or_path", "revision",
    "auto_mapping", "peft_version", "runtime_config",
})  # fmt: skip
"""Fields of PEFT's configurations that follow from what is tuned, and what for."""
REFUSED = {
    "xlora": "it mixes adapters that were trained before, and there are none here",
    "poly": "it needs the number of a task beside every example",
    "multitask_prompt_tuning": "it needs the number of a task beside every example",
    "shadow": "what it learns depends on the input, so it cannot be merged into the weights",
}
"""PEFT's methods that need what is not here, and what that is."""
NEED_DATA = ("eva", "corda", "loftq", "lora_ga")
INITS = ("gaussian", "pissa", "pissa_niter_16", "olora", "orthogonal", "mica")
VIRTUAL_TOKENS = 20
"""Length of a learnt prompt where none is asked for: more gained little in Lester et al. 2021
(arXiv 2104.08691)."""


def check_init(init: object) -> None:
    """Raise `InputError` for a start of LoRA that PEFT does not know or that needs data."""
    if isinstance(init, bool) or init in INITS or re.fullmatch(r"pissa_niter_\d+", str(init)):
        return
    if str(init) in NEED_DATA:
        raise InputError(
            f'init_lora_weights "{init}" is worked out from data or quantised weights beforehand, '
            f"which is not done here; take true, false or one of {', '.join(INITS)}"
        )
    known = f"; known: true, false, {', '.join(INITS)}"
    near = did_you_mean(str(init), INITS)
    raise InputError(f'unknown init_lora_weights "{init}"' + (near if "mean" in near else known))


class LoraSettings(Value):
    """Low-rank adaptation (arXiv 2106.09685), in peft's own field names.

    `use_rslora` scales by alpha/sqrt(r) (arXiv 2312.03732), `use_dora` learns magnitudes apart from
    directions (arXiv 2402.09353). `init_lora_weights` "pissa" starts from the weights' principal
    components (arXiv 2404.02948). `rank_pattern` and `alpha_pattern` give layers, by the end of
    their name or a regular expression, an r or alpha of their own.
    """

    r: int = Field(default=16, ge=1, le=1024)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    use_rslora: bool = False
    use_dora: bool = False
    init_lora_weights: bool | str = True
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, int] = {}

    @field_validator("init_lora_weights")
    @classmethod
    def _known_start(cls, init: bool | str) -> bool | str:
        try:
            check_init(init)
        except InputError as error:  # as a fault of the recipe, told with its line
            raise ValueError(str(error)) from error
        return init

    def config(self) -> Any:
        """As PEFT's configuration."""
        return adapter_config(
            "lora", {name: self.plain()[name] for name in LoraSettings.model_fields}
        )


def adapter_config(kind: str, settings: Mapping[str, Any]) -> Any:
    """PEFT's configuration of the method `kind`, such as "ia3", for a causal language model.

    Learnt prompts have 20 virtual tokens unless `settings` say otherwise. Raises `InputError` for a
    method or fields that PEFT does not know, all at once, and for what cannot be done here.
    """
    with quiet_import():
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

    known = {method.value.lower(): method for method in PEFT_TYPE_TO_CONFIG_MAPPING}
    if kind not in known:
        raise InputError(f'PEFT has no method "{kind}"' + did_you_mean(kind, known))
    why = REFUSED.get(kind, "")
    if hasattr(PEFT_TYPE_TO_TUNER_MAPPING.get(known[kind]), "update_and_allocate"):
        why = "it must be told of every step (update_and_allocate), which this trainer does not do"
    if why:
        raise InputError(f"{kind} cannot be trained here: {why}")
    made: Any = PEFT_TYPE_TO_CONFIG_MAPPING[known[kind]]
    fields = {field.name for field in dataclasses.fields(made) if field.init} - OURS
    if faults := _unknown(settings, fields, made.__name__):
        raise InputError("; ".join(faults))
    check_init(settings.get("init_lora_weights", True))
    given = copy.deepcopy(dict(settings))
    if "num_virtual_tokens" in fields:
        given.setdefault("num_virtual_tokens", VIRTUAL_TOKENS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = made(**given, task_type="CAUSAL_LM")
    except (TypeError, ValueError, ImportError, AttributeError) as error:
        raise InputError(f"{kind}: PEFT refuses these settings: {error}") from error
    if changes_base(config):
        patterns = config.rank_pattern or config.alpha_pattern
        if config.use_dora or (config.use_rslora and patterns):
            raise InputError(
                f"init_lora_weights {config.init_lora_weights} goes neither with use_dora nor with "
                "use_rslora and patterns together: PEFT could not turn the result into a LoRA over "
                "the weights as they were"
            )
    return config


def _unknown(settings: Mapping[str, Any], fields: set[str], of: str) -> list[str]:
    """What is to be said of settings that are no `fields`; all that are known once, at the end."""
    faults, known = [], ""
    for name in [name for name in settings if name not in fields]:
        if name in OURS:
            faults.append(f'"{name}" follows from the task and is not to be given')
            continue
        clause = did_you_mean(name, fields)
        near = "mean" in clause.partition('"')[0]
        known = known if near else clause.removeprefix("; ")
        faults.append(f'{of} has no field "{name}"' + (clause.rstrip("?") if near else ""))
    return [*faults, known] if known else faults


def changes_base(config: Any) -> bool:
    """Whether the adapter starts with a part of the weights, which the base then lacks."""
    start = str(getattr(config, "init_lora_weights", ""))
    return start == "olora" or start.startswith("pissa")


def add_adapter(model: Any, config: Any, *, seed: int) -> Any:
    """A peft model around `model` with a fresh adapter in float32; the base is frozen.

    Raises `InputError` for target modules that the model does not have, naming those it has, and
    for an adapter that could not be answered with afterwards.
    """
    import torch
    from peft import get_peft_model

    _check_targets(model, config)
    torch.manual_seed(seed)
    kind = config.peft_type.value.lower()
    try:
        with quiet_training():
            made = get_peft_model(model, config)
            _check_tied(made, kind)
            _try_merging(made)
    except (TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError) as error:
        text = str(error).rstrip(".")
        if "`target_modules`" in text or "`feedforward_modules`" in text:
            text = f"it does not know which layers of {model.config.model_type} to adapt; name them"
        raise InputError(
            f"{kind}: PEFT cannot adapt this model: {text} (its layers: {', '.join(layers(model))})"
        ) from error
    return _in_float32(made)


def trained_adapter(model: Any, folder: Path, *, seed: int) -> Any:
    """A peft model around `model` with the adapter in `folder`, to be trained on as it is: its own
    configuration counts. The base is frozen."""
    import torch
    from peft import PeftModel

    torch.manual_seed(seed)
    with quiet_training():
        made = PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    return _in_float32(made)


def _in_float32(made: Any) -> Any:
    for weight in made.parameters():
        if weight.requires_grad:  # small updates vanish below bfloat16's resolution
            weight.data = weight.data.float()
    return made


def _check_tied(model: Any, kind: str) -> None:
    """Merged into a weight that two layers share, an adapter on one would change the other too."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    ends = (base.get_input_embeddings(), base.get_output_embeddings())
    tied = getattr(base.config.get_text_config(), "tie_word_embeddings", False)
    if tied and any(isinstance(end, BaseTunerLayer) and _has_weights(end) for end in ends):
        raise InputError(
            f"{kind}: the input and the output embeddings of this model are one weight, so an "
            "adapter on either cannot be merged; leave them out of target_modules"
        )


def _has_weights(layer: Any) -> bool:
    """Whether an adapter stands on the layer itself, not on single tokens of it."""
    return not any("trainable_tokens" in name for name in layer.adapter_layer_names)


def save_adapter(
    model: Any,
    folder: Path,
    *,
    initial: Path | None = None,
    state_dict: Mapping[str, Any] | None = None,
) -> None:
    """Write the adapter as safetensors with its configuration.

    `initial` holds the adapter as it was before training, where it started with a part of the
    weights: what is written is then the difference, a LoRA of twice the rank over the weights as
    they were.
    """
    options: dict[str, Any] = {}
    if initial is not None:
        options["path_initial_model_for_weight_conversion"] = str(initial)
    if state_dict is not None:
        options["state_dict"] = dict(state_dict)
    with quiet_training():
        model.save_pretrained(str(folder), **options)
    # Its template names the folder it was trained from, which is nobody's business.
    (folder / "README.md").unlink(missing_ok=True)


def check_unsharded(what: str) -> None:
    """Raise `CannotRun` where accelerate parts the weights among processes."""
    for name, by in (("ACCELERATE_USE_FSDP", "FSDP"), ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed")):
        if os.environ.get(name, "false").lower() == "true":
            raise CannotRun(
                f"{what} needs all weights in each process, and {by} parts them; launch without it"
            )


def layers(model: Any) -> list[str]:
    """The last part of the names of all modules that have weights of their own, sorted."""
    return sorted(
        {
            name.rsplit(".", 1)[-1]
            for name, module in model.named_modules()
            if name and any(True for _ in module.parameters(recurse=False))
        }
    )


def _check_targets(model: Any, config: Any) -> None:
    names = [name for name, _ in model.named_modules()]
    for field in ("target_modules", "feedforward_modules"):
        chosen = getattr(config, field, None)
        if chosen is None or isinstance(chosen, str):
            continue
        for wanted in sorted(chosen):
            if not any(name == wanted or name.endswith(f".{wanted}") for name in names):
                raise InputError(
                    f'{config.peft_type.value.lower()}.{field}: this model has no layer "{wanted}"'
                    + did_you_mean(wanted, layers(model))
                )


def _try_merging(model: Any) -> None:
    """Merge one layer's copy: what PEFT cannot merge, it says only when the training is over."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            copy.deepcopy(module).merge()
            return
