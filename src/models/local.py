"""A causal language model of this machine, opened: weights, tokenizer, generation."""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CannotRun
from .account import Account
from .chat import chat_ids
from .devices import (
    check_dtype,
    check_memory,
    preferred_device,
    preferred_dtype,
    required_memory_bytes,
)
from .folders import check_folder
from .generation import (
    Generation,
    RowEnds,
    SharedPrefix,
    check_window,
    generation_settings,
    pad_left,
    plan_batches,
    shared_prefix,
    tally_texts,
)
from .loading import end_tokens, is_quantized, load_weights, open_tokenizer, with_adapter
from .quiet import quiet_peft, quiet_transformers

if TYPE_CHECKING:
    from ..prompt import Message
    from ..system import Decoding
    from .generation import Told

__all__ = ["LocalModel", "open_tokenizer"]

BATCH_TOKENS = 8192
BATCH_ROWS = 32


class LocalModel:
    """Weights and tokenizer in memory. Made by `open`, freed by `close` or at the end of a `with`.

    `model` is the transformers (or, where an adapter could not be merged, PEFT) model in
    evaluation mode; `tokenizer` its tokenizer; both for training too.
    """

    def __init__(self, model: Any, tokenizer: Any, *, device: str, dtype: str, even: bool) -> None:
        self.tokenizer = tokenizer
        self.device = device
        self.dtype = dtype
        self._model: Any = model
        self._even = even
        self._config = model.config.get_text_config()
        self._ends, self._pad = end_tokens(model, tokenizer)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        weights: Path | None = None,
        adapters: Sequence[Path] = (),
        dtype: str | None = None,
        device: str | None = None,
        available_bytes: int | None = None,
    ) -> LocalModel:
        """Open the model of `folder`.

        `weights` is a folder whose weights replace the model's own; the tokenizer stays.
        `adapters` are PEFT folders, applied in order and merged in float32 before the weights are
        cast to `dtype`, so that answering costs what the deployed, merged model costs. An adapter
        that cannot be merged (prompt tuning) stays wrapped around the model and must be the last.
        `dtype` and `device` default to what the machine prefers. With `available_bytes` the
        memory needed is compared first. Raises `ModelError` for folders that cannot be read and
        `CannotRun` where the memory does not suffice or adapters do not combine.
        """
        import torch

        device = device or preferred_device()
        dtype = check_dtype(dtype or preferred_dtype(device))
        source = weights or folder
        for path in (folder, source):
            check_folder(path)
        if available_bytes is not None:
            needed = required_memory_bytes(
                source, dtype, batch_tokens=BATCH_TOKENS, merging=bool(adapters)
            )
            check_memory(f"{folder.name} in {dtype}", needed, available_bytes)
        tokenizer = open_tokenizer(folder)
        with quiet_transformers():
            model = load_weights(source, "float32" if adapters else dtype, device)
            even = False
            for number, adapter in enumerate(adapters, start=1):
                model, merged = with_adapter(model, adapter)
                even = not merged
                if even and number < len(adapters):
                    raise CannotRun(
                        f"the adapter {adapter.name} cannot be merged into the weights, so no "
                        "other can be applied after it; put it last"
                    )
            if is_quantized(model):
                dtype = str(model.dtype).removeprefix("torch.")
            else:
                model = model.to(device=device, dtype=getattr(torch, dtype))
        model.eval()
        if not even and not is_quantized(model):
            model.requires_grad_(True)  # merging leaves the weights frozen, and they can be trained
        return cls(model, tokenizer, device=device, dtype=dtype, even=even)

    @property
    def model(self) -> Any:
        """The model in memory; a `RuntimeError` once closed."""
        if self._model is None:
            raise RuntimeError("this model was closed")
        return self._model

    @property
    def _inner(self) -> Any:
        """The transformers model, without an adapter that wraps it."""
        return self.model.get_base_model() if self._even else self.model

    @functools.cached_property
    def account(self) -> Account:
        """What this model did since it was opened, and what that was worth; outlives `close`."""
        return Account(self._inner, "answering")

    @property
    def context_window(self) -> int | None:
        """The most tokens of prompt and answer together; None where the model names no limit."""
        window = getattr(self._config, "max_position_embeddings", None)
        return int(window) if window else None

    @property
    def end_tokens(self) -> frozenset[int]:
        """The token ids that end an answer."""
        return self._ends

    def encode_chat(
        self, messages: Sequence[Message], add_generation_prompt: bool = True
    ) -> list[int]:
        """Token ids of a chat by the model's chat template; see `chat_ids`."""
        return chat_ids(self.tokenizer, messages, add_generation_prompt)

    def count_tokens(self, text: str) -> int:
        """Tokens of a plain text, without special tokens."""
        return len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def generate(
        self,
        messages: Sequence[list[Message]],
        decoding: Decoding,
        *,
        seed: int = 0,
        batch_tokens: int = BATCH_TOKENS,
        batch_rows: int = BATCH_ROWS,
        told: Told | None = None,
    ) -> list[Generation]:
        """Write one answer to each chat, in the order given.

        Temperature 0 is greedy; otherwise tokens are drawn, the same ones for the same call and
        `seed`. A row ends at an end token or when a string of `stop` stands in its text after the
        first character that is not white space; the text is cut before it and stripped. Only
        these arguments decide: penalties that a model's maker recommends are not applied.
        Raises `InputError` when a prompt with its answer would not fit the context window.
        """
        max_tokens, stop = decoding.max_tokens, decoding.stop
        prompts = [self.encode_chat(chat) for chat in messages]
        check_window(prompts, max_tokens, self.context_window)
        settings = generation_settings(decoding, self._ends, self._pad)
        waiting = plan_batches(
            [len(prompt) for prompt in prompts],
            max_tokens=max_tokens,
            batch_tokens=batch_tokens,
            max_rows=batch_rows,
            even=self._even,
        )[::-1]
        # Wrapped adapters (prompt tuning) put tokens of their own before the prompt: no sharing.
        length = 0 if self._even else shared_prefix(prompts)
        shared = self._read(prompts[0][:length]) if length else None
        answers: dict[int, Generation] = {}
        while waiting:
            batch = waiting.pop()
            rest = [prompts[i][length:] for i in batch]
            written = self._attempt(rest, settings, stop, seed + batch[0], shared)
            if written is None and len(batch) > 1:
                half = len(batch) // 2
                waiting += [batch[half:], batch[:half]]
                continue
            if written is None:
                raise CannotRun(
                    f"the {self.device} has too little memory for one prompt of "
                    f"{len(prompts[batch[0]])} tokens; choose a smaller model or shorter prompts"
                )
            answers.update(zip(batch, written, strict=True))
            for number, reply in zip(batch, written, strict=True):
                if told is not None:
                    told(number, reply)
        if shared is not None:  # the first prompt paid for what the others reused
            answers[0] = answers[0].model_copy(update={"tokens_reused": 0})
        made = [answers[index] for index in range(len(prompts))]
        self.account.tally += tally_texts(made)
        return made

    def _read(self, prefix: Sequence[int]) -> SharedPrefix:
        """A prefix that all prompts share, with its keys and values."""
        import torch
        from transformers import DynamicCache

        cache = DynamicCache(config=self._config)
        with quiet_transformers(), torch.inference_mode(), self.account.watching(self._inner):
            ids = torch.tensor([list(prefix)], device=self.device)
            self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return SharedPrefix(prefix, cache)

    def _attempt(
        self,
        prompts: Sequence[Sequence[int]],
        settings: Any,
        stop: Sequence[str],
        seed: int,
        shared: SharedPrefix | None,
    ) -> list[Generation] | None:
        """The answers of one batch, or None where the device's memory did not suffice.

        Not the exception itself: it would hold on to the tensors of the failed attempt.
        """
        import torch

        with contextlib.suppress(torch.OutOfMemoryError), self.account.watching(self._inner):
            return self._write(prompts, settings, stop, seed, shared)
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        return None

    def _write(
        self,
        prompts: Sequence[Sequence[int]],
        settings: Any,
        stop: Sequence[str],
        seed: int,
        shared: SharedPrefix | None,
    ) -> list[Generation]:
        """Answers to prompts, of which the beginning that is `shared` was read already."""
        import torch
        from transformers import StoppingCriteriaList

        ids, mask = pad_left(prompts, self._pad)
        cache: dict[str, Any] = {}
        if shared is not None:
            ids, mask, cache["past_key_values"] = shared.before(ids, mask)
        ends = RowEnds(self.tokenizer, len(prompts), ends=self._ends, stop=stop)
        devices = [torch.cuda.current_device()] if self.device.startswith("cuda") else []
        # The draw is ours, the caller's random state is put back.
        quiet = quiet_peft if self._even else contextlib.nullcontext
        with quiet(), quiet_transformers(), torch.inference_mode(), torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            self.model.generate(
                input_ids=ids.to(self.device),
                attention_mask=mask.to(self.device),
                generation_config=settings,
                stopping_criteria=StoppingCriteriaList([ends]),
                **cache,
            )
        reused = len(shared.ids) if shared else 0
        return [
            Generation(
                text=ends.text(row),
                tokens_in=len(prompt) + reused,
                tokens_out=len(ends.rows[row]),
                tokens_reused=reused,
            )
            for row, prompt in enumerate(prompts)
        ]

    def close(self) -> None:
        """Free the weights. May be called twice."""
        self._model = None
        gc.collect()
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()

    def __enter__(self) -> LocalModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
