"""A causal language model of this machine, opened: weights, tokenizer, generation."""

from __future__ import annotations

import functools
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..measure.memory import available_memory_bytes
from .account import Account
from .adapters import Base
from .attention import window_of
from .batch import PASS_TOKENS
from .chat import chat_ids
from .devices import (
    check_dtype,
    check_memory,
    key_width,
    preferred_device,
    preferred_dtype,
    required_memory_bytes,
)
from .folders import check_folder
from .generation import Generation, Told, check_window, repeats, tally_texts
from .loading import (
    end_tokens,
    is_quantized,
    load_weights,
    open_tokenizer,
    tokenizer_folder,
    virtual_trunk,
)
from .plain import write_plainly
from .quiet import quiet_transformers
from .writer import Writer

if TYPE_CHECKING:
    from ..prompt import Message
    from ..system import Decoding

__all__ = ["LocalModel", "open_tokenizer"]

BATCH_BYTES = 1024**3
"""What the keys and values of a batch may take, and no more than a quarter of the free memory."""
BATCH_ROWS = 256
"""Rows of a batch: more are hardly faster a row."""


class LocalModel:
    """Weights and tokenizer in memory. Made by `open`, freed by `close` or at the end of a `with`.

    `model` is the transformers (or, where an adapter could not be merged, PEFT) model in
    evaluation mode; `tokenizer` its tokenizer; both for training too. `adapters` are those that
    are on now; `adapt` changes them.
    """

    def __init__(self, model: Any, tokenizer: Any, *, device: str, dtype: str) -> None:
        self.tokenizer = tokenizer
        self.device = device
        self.dtype = dtype
        self.adapters: tuple[Path, ...] = ()
        self._base: Base | None = Base(model)
        self._model: Any = model
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

        `weights` is a folder whose weights replace the model's own, and its tokenizer too where it
        has one. `adapters` are put on as `adapt` does it; they are not to be changed afterwards, so
        nothing is kept for that. `dtype` and `device` default to what the machine prefers. With
        `available_bytes` the memory needed is compared first. Raises `ModelError` for folders that
        cannot be read and `CannotRun` where the memory does not suffice or adapters do not combine.
        """
        device = device or preferred_device()
        dtype = check_dtype(dtype or preferred_dtype(device))
        source = weights or folder
        for path in (folder, source):
            check_folder(path)
        if available_bytes is not None:
            needed = required_memory_bytes(source, dtype, batch_tokens=PASS_TOKENS)
            check_memory(f"{folder.name} in {dtype}", needed, available_bytes)
        tokenizer = open_tokenizer(tokenizer_folder(folder, weights))
        with quiet_transformers():
            model = load_weights(source, dtype, device)
            if is_quantized(model):
                dtype = str(model.dtype).removeprefix("torch.")
            else:  # not to `dtype`: that would round the angles of positions, which stay float32
                model = model.to(device)
        model.eval()
        opened = cls(model, tokenizer, device=device, dtype=dtype)
        opened.adapt(adapters, keep=False)
        return opened

    @property
    def adaptable(self) -> bool:
        """Whether `adapt` can take off what is on."""
        return self._base is not None and self._base.restorable

    def adapt(self, adapters: Sequence[Path], *, keep: bool = True) -> None:
        """Take off the adapters that are on, and put these PEFT folders on, in order.

        Each is merged layer by layer in float32, over the weights as they answer: an adapter is
        trained on them in that precision. So answering costs what the deployed, merged model costs,
        and the weights are the same to the last bit whatever was on before. One that cannot be
        merged (prompt tuning) stays wrapped around the model and must be the last. With `keep` the
        tensors that they change are copied to main memory first, if there is room (`adaptable`
        tells). Raises `ModelError` for adapters that do not fit and `CannotRun` for those that do
        not combine; then none is on.
        """
        if self._base is None:
            raise RuntimeError("this model was closed")
        wrapped = self._model is not self._base.model
        self._model, self.adapters = self._base.model, ()
        self._model, self.adapters = self._base.wear(adapters, keep=keep), tuple(adapters)
        self.__dict__.pop("_writer", None)  # it keeps what was read with other weights
        if wrapped or self._model is not self._base.model:
            self.__dict__.pop("account", None)  # else the same operations on the same shapes

    @property
    def model(self) -> Any:
        """The model in memory; a `RuntimeError` once closed."""
        if self._model is None:
            raise RuntimeError("this model was closed")
        return self._model

    @property
    def _inner(self) -> Any:
        """The transformers model, without an adapter that wraps it."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

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

    @functools.cached_property
    def _writer(self) -> Writer:
        with self.account.watching(self._inner):
            virtual = virtual_trunk(self.model)
        return Writer(self._inner, virtual=virtual, **self._parts)

    @property
    def _parts(self) -> dict[str, Any]:
        return {
            "tokenizer": self.tokenizer,
            "device": self.device,
            "ends": self._ends,
            "pad": self._pad,
            "account": self.account,
        }

    def _columns(self) -> int:
        """How many tokens a batch may hold, for their keys and values to stay in their bounds."""
        import torch

        if self.device.startswith("cuda"):
            left: int = torch.cuda.mem_get_info()[0]
        else:
            left = available_memory_bytes()
        width: int = key_width(self._config.to_dict()) * self._inner.dtype.itemsize
        return max(1, min(BATCH_BYTES, left // 4) // width)

    def generate(
        self,
        messages: Sequence[list[Message]],
        decoding: Decoding,
        *,
        seed: int = 0,
        told: Told | None = None,
        columns: int | None = None,
        rows: int = BATCH_ROWS,
    ) -> list[Generation]:
        """Write one answer to each chat, in the order given.

        A row ends at an end token or when a stop string stands in its text after the first
        character that is not white space; the text is cut before it and stripped. Only
        `decoding` decides: penalties that a model's maker recommends are not applied. What is
        drawn for a chat depends on `seed` and on how many equal chats stand before it, not on the
        others. `columns` bounds the tokens that a batch may hold (by default what memory allows),
        `rows` its rows. Raises `InputError` when a prompt with its answer would not fit the
        context window, or the longest of `choices` not the answer.
        """
        if not messages:
            return []
        prompts = [self.encode_chat(chat) for chat in messages]
        check_window(prompts, messages, decoding.max_tokens, self.context_window)
        longest = max(map(len, prompts)) + decoding.max_tokens
        window = window_of(self._inner)
        if window is None or longest <= window:
            write = self._writer.write
        else:
            write = functools.partial(
                write_plainly, model=self.model, inner=self._inner, **self._parts
            )
        made = write(
            prompts,
            decoding,
            seeds=[seed + number for number in repeats(messages)],
            columns=columns or self._columns(),
            rows=rows,
            told=told or (lambda number, reply: None),
        )
        answers = [made[number] for number in range(len(prompts))]
        self.account.tally += tally_texts(answers)
        return answers

    def close(self) -> None:
        """Free the weights. May be called twice."""
        self._model = self._base = None
        gc.collect()
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()

    def __enter__(self) -> LocalModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
