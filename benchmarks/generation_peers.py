"""Peers of generation.py: three ways to answer the same prompts, each as its documentation says."""

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from generation_cases import LM_EVAL, OURS, PLAIN, Prompt, same_ids

BATCH = 16
"""Rows of lm-eval's batches."""
MISSING = "lm-eval is not installed, so it is left out: pip install 'lm-eval[hf]'"


def installed() -> list[str]:
    """The peers that can be asked here; plain `generate` comes with transformers."""
    return [OURS, PLAIN, *([LM_EVAL] if find_spec("lm_eval") is not None else [])]


class Peer(ABC):
    """One way to answer prompts greedily, up to a newline."""

    @abstractmethod
    def read(self, prompt: Prompt) -> Sequence[int]:
        """The token ids that this peer makes of a prompt."""

    @abstractmethod
    def answer(self, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
        """The texts, in order."""

    def close(self) -> None:  # noqa: B027  # not every peer has something to close
        """Free the weights."""


class Ours(Peer):
    """This project's generator. `passes` are the forward passes seen, rows by positions;
    `written` the tokens of each answer, with the one that ended it."""

    def __init__(self, folder: Path, dtype: str) -> None:
        from wattune.models.local import LocalModel

        self._model = LocalModel.open(folder, dtype=dtype, device="cpu")
        self.passes: list[tuple[int, int]] = []
        self.written: list[int] = []
        table = self._model.model.get_input_embeddings()
        table.register_forward_pre_hook(self._see)

    def _see(self, _: Any, args: tuple[Any, ...]) -> None:
        rows, positions = args[0].shape
        self.passes.append((rows, positions))

    def read(self, prompt: Prompt) -> Sequence[int]:
        return self._model.encode_chat(prompt.chat)

    def answer(self, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
        from wattune.system import Decoding

        decoding = Decoding(max_tokens=max_tokens, stop=("\n",))
        made = self._model.generate([prompt.chat for prompt in prompts], decoding)
        self.written += [one.tokens_out for one in made]
        return [one.text for one in made]

    def close(self) -> None:
        self._model.close()


class Plain(Peer):
    """transformers' `generate`, one prompt after the other, with its own stop strings."""

    def __init__(self, folder: Path, dtype: str) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)

    def _encoded(self, prompt: Prompt) -> Any:
        return self.tokenizer(prompt.text, add_special_tokens=False, return_tensors="pt")

    def read(self, prompt: Prompt) -> Sequence[int]:
        return list(self._encoded(prompt)["input_ids"][0].tolist())

    def answer(self, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
        stop = {"stop_strings": ["\n"], "tokenizer": self.tokenizer}
        return [self.decode(self.write(prompt, max_tokens, **stop)) for prompt in prompts]

    def write(self, prompt: Prompt, max_tokens: int, **options: Any) -> list[int]:
        """The new tokens; without stop strings up to the end token or `max_tokens`."""
        inputs = self._encoded(prompt)
        ids = self.model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False, **options)
        return list(ids[0, inputs["input_ids"].shape[1] :].tolist())

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        return str(
            self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer."""
        named = self.model.generation_config.eos_token_id
        return frozenset([named] if isinstance(named, int) else named or ())

    def logits(self, ids: Sequence[int]) -> Any:
        """The logits of the token after `ids`, a float32 tensor of shape ``(vocabulary,)``."""
        import torch

        with torch.inference_mode():
            return self.model(torch.tensor([list(ids)]), logits_to_keep=1).logits[0, -1].float()


class LmEval(Peer):
    """lm-eval's Hugging Face backend, asked through `generate_until` requests."""

    def __init__(self, folder: Path, dtype: str, batch: int) -> None:
        import logging

        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        self._request = Instance
        self._model = HFLM(
            pretrained=str(folder), dtype=dtype, device="cpu", batch_size=batch, add_bos_token=False
        )

    def read(self, prompt: Prompt) -> Sequence[int]:
        ids, _ = self._model.tok_batch_encode([prompt.text])
        return list(ids[0].tolist())

    def answer(self, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
        settings = {"until": ["\n"], "max_gen_toks": max_tokens, "do_sample": False}
        requests = [
            self._request("generate_until", {}, (prompt.text, dict(settings)), number)
            for number, prompt in enumerate(prompts)
        ]
        return list(self._model.generate_until(requests, disable_tqdm=True))


@contextmanager
def opened(
    name: str, folder: Path, dtype: str, prompts: Sequence[Prompt], *, batch: int = BATCH
) -> Iterator[Any]:
    """A peer with its weights just loaded: nothing is kept from an earlier run. Raises
    `ValueError` where it would read other token ids than those of the prompts."""
    peer: Peer = (
        LmEval(folder, dtype, batch)
        if name == LM_EVAL
        else {OURS: Ours, PLAIN: Plain}[name](folder, dtype)
    )
    try:
        for prompt in prompts:
            same_ids(prompt.ids, peer.read(prompt), f"a prompt as {name} reads it")
        yield peer
    finally:
        peer.close()
        del peer
        gc.collect()
