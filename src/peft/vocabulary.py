"""A tokenizer of one's own: byte-level BPE learnt from a task's texts, with a chat template."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PAD, START, END = "<|pad|>", "<|start|>", "<|end|>"
"""The special tokens: filling, the head of a turn, the end of a turn or a text."""
CHAT_TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
SMALLEST = 256 + len((PAD, START, END))
"""Tokens that are always there: every byte, so that any text can be written, and the above."""


def learn_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """A transformers tokenizer of at most `vocab_size` tokens, learnt from `texts`.

    Byte-level byte-pair encoding (Sennrich et al., arXiv 1508.07909, over bytes as in GPT-2): equal
    texts give an equal vocabulary. Texts with little in them give fewer tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[PAD, START, END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast: Any = PreTrainedTokenizerFast
    tokenizer = fast(tokenizer_object=made, pad_token=PAD, bos_token=START, eos_token=END)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
