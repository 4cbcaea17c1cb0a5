"""From a GGUF file to a folder of safetensors, once.

transformers can answer from a GGUF file, but dequantises it on every load (20 s for 135 million
parameters on two cores) and refuses to train or save it. Converted once, it loads like any model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .quiet import quiet_transformers

CONTROL_TOKEN = 3
"""The token type of GGUF that marks special tokens."""


def convert_gguf(gguf: Path, folder: Path, *, say: Callable[[str], None] = lambda _: None) -> None:
    """Write the model and tokenizer of `gguf` into `folder` as float32 safetensors.

    float32, because a Q4_1 weight is ``scale * q + minimum`` of float16 numbers, which neither
    float16 nor bfloat16 holds exactly, and because training wants float32 masters. The larger
    file costs little at load, where it is mapped: tokenizer and 135 million parameters opened in a
    median of 0.25 s in float32 and 0.55 s cast to bfloat16, on one core of two.

    Raises `ModelError` when the file cannot be read or its tokenizer would not come out right.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    with quiet_transformers(), _no_bar():
        try:
            say(f"reading {gguf.name}")
            facts = _metadata(gguf)
            tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, **source)
            _mend_splitting(tokenizer, facts, gguf.name)
            _check_tokenizer(tokenizer, facts, gguf.name)
            say(f"converting {gguf.name} to safetensors")
            model: Any = AutoModelForCausalLM.from_pretrained(
                gguf.parent, dtype="float32", trust_remote_code=False, **source
            )
        except (OSError, ValueError, KeyError, NotImplementedError) as error:
            raise ModelError(f"{gguf.name} cannot be converted: {error}") from error
        # Dequantised on load, yet still marked as quantised, which forbids saving and training.
        model.is_quantized = False
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        # The GGUF carries its maker's working title here; the catalogue names the model.
        model.config._name_or_path = ""
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextlib.contextmanager
def _no_bar() -> Iterator[None]:
    """transformers shows this one progress bar past its own switch, so it is replaced by none."""
    from transformers import modeling_gguf_pytorch_utils

    module: Any = modeling_gguf_pytorch_utils
    shown = module.tqdm
    module.tqdm = lambda steps, **_: steps
    try:
        yield
    finally:
        module.tqdm = shown


def _metadata(gguf: Path) -> dict[str, Any]:
    """The tokenizer's part of the GGUF header."""
    from gguf import GGUFReader

    reader = GGUFReader(gguf)
    wanted = (
        "tokenizer.ggml.pre",
        "tokenizer.chat_template",
        "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.padding_token_id",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.token_type",
    )
    return {key: reader.fields[key].contents() for key in wanted if key in reader.fields}


def _mend_splitting(tokenizer: Any, facts: dict[str, Any], name: str) -> None:
    """Split text before BPE as the model was trained, which the converted tokenizer forgets.

    GGUF names the rule in ``tokenizer.ggml.pre``. "smollm" is GPT-2's after single digits are set
    apart (as in llama.cpp's vocabulary of that name); transformers keeps GPT-2's only, and then
    white space before a digit becomes other tokens than those the model has seen.
    """
    from tokenizers import pre_tokenizers

    rule = facts.get("tokenizer.ggml.pre", "gpt-2")
    if rule == "gpt-2":
        return
    if rule != "smollm":
        raise ModelError(
            f'{name}: the pre-tokeniser "{rule}" is not known here and the text would be split '
            "otherwise than in training; known: gpt-2, smollm"
        )
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


def _check_tokenizer(tokenizer: Any, facts: dict[str, Any], name: str) -> None:
    """Compare the tokenizer with the header it was made from."""
    for role, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        expected = facts.get(f"tokenizer.ggml.{key}_token_id")
        found = getattr(tokenizer, f"{role}_token_id")
        if expected is not None and found != expected:
            raise ModelError(
                f"{name}: the converted tokenizer's {role} token is {found}, expected {expected}"
            )
    template = facts.get("tokenizer.chat_template")
    if tokenizer.chat_template != template:
        raise ModelError(f"{name}: the converted tokenizer lost the chat template")
    kinds = zip(facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.token_type"], strict=True)
    for number, (token, kind) in enumerate(kinds):
        if kind == CONTROL_TOKEN:
            found = tokenizer.encode(token, add_special_tokens=False)
            if found != [number]:
                raise ModelError(
                    f"{name}: the special token {token} became {found}, expected [{number}]"
                )
