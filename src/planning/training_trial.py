"""A few training steps of a shallow model with the real one's widths, timed."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..measure.memory import available_memory_bytes
from ..measure.work import Tally
from ..models.account import Account
from ..models.devices import preferred_dtype
from ..models.head import flatten_head_input
from ..models.quiet import quiet_transformers
from ..peft.adapters import LoraSettings, add_adapter
from ..peft.memory import training_bytes
from .timed import Piece, Pieces, stopwatch

LAYERS, VOCABULARY = 4, 8192
"""Of the copy, at most: what a layer costs is the same in all of them, and the head's scores weigh
little in a model of full depth."""
SHAPES = ((8, 16), (8, 48), (2, 16), (2, 256))
"""Rows and tokens of the passes: short and longer examples, few of them and many; and full texts,
without which nothing tells what attention costs (a fit to the others was off by 25 times there)."""
ANSWER = 4
"""Columns that are scored."""


def training_pieces(
    config: Any,
    kind: str,
    pieces: Pieces,
    seconds: float,
    device: str,
    metering: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> int:
    """Time steps of tuning with an adapter (training_adapter) or of all weights (training_all).

    Forwards, backwards and the optimizer, in the precision that trainings run in. Returns the bytes
    that this takes by `training_bytes`; 0, and nothing is timed, where they are not there. Only the
    steps that are timed are `metering`.
    """
    import torch

    bf16 = preferred_dtype(device) == "bfloat16"
    model = _model(config, kind, bf16, device)
    if model is None:
        return 0
    account = Account(model, "training")
    costs = account.costs
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-9, fused=device.startswith(("cpu", "cuda")))
    vocabulary = int(model.config.get_text_config().vocab_size)
    learnt, weights = (sum(w.numel() for w in each) for each in (trained, model.parameters()))
    said = training_bytes(
        weights, learnt, model.config.get_text_config(), max(rows * n for rows, n in SHAPES),
        bf16=bf16, scores=max(rows for rows, _ in SHAPES) * (ANSWER + 1) * vocabulary,
    )  # fmt: skip

    def step(rows: int, length: int) -> float:
        ids = torch.randint(0, vocabulary, (rows, length), device=device)
        with stopwatch(device) as taken:
            with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16):
                made = model(input_ids=ids, logits_to_keep=ANSWER + 1, use_cache=False)
            scores = made.logits[:, :-1].float().flatten(0, 1)
            loss: Any = torch.nn.functional.cross_entropy(scores, ids[:, -ANSWER:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return taken[0]

    for shape in SHAPES:  # kernels compile, and the optimizer makes its moments
        step(*shape)
    until = time.perf_counter() + seconds
    with metering():
        for turn in range(100):
            for rows, length in SHAPES:
                if turn > 1 and time.perf_counter() > until:
                    return said
                done = Tally.of_pass(rows, length, heads=rows * (ANSWER + 1)) + Tally(steps=1)
                pieces.made.append(Piece(costs, done, step(rows, length)))
    return said


def _model(config: Any, kind: str, bf16: bool, device: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    shallow = copy.deepcopy(config)
    depth = shallow.num_hidden_layers
    for name, value in list(vars(shallow).items()):  # what is said of each layer
        if isinstance(value, list) and len(value) == depth:
            setattr(shallow, name, value[:LAYERS])
    shallow.num_hidden_layers = min(depth, LAYERS)
    shallow.vocab_size = min(int(shallow.vocab_size), VOCABULARY)
    shallow.pad_token_id = None  # it may lie beyond
    adapter = kind == "training_adapter"
    dtype = torch.bfloat16 if adapter and bf16 else torch.float32
    classes: Any = AutoModelForCausalLM
    with quiet_transformers(), torch.device("meta"):
        sizes = sum(weight.numel() for weight in classes.from_config(shallow).parameters())
    tokens = max(rows * length for rows, length in SHAPES)
    trained = 0 if adapter else sizes
    needed = training_bytes(sizes, trained, shallow, tokens, bf16=bf16)
    if needed > available_memory_bytes():
        return None
    with quiet_transformers():
        model = flatten_head_input(classes.from_config(shallow, dtype=dtype)).to(device)
    if adapter:
        model = add_adapter(model, LoraSettings().config(), seed=0)
    return model.train()
