"""Measures a machine for a few seconds, with the real model: how fast, and for how many joules.

    reading and writing   the model answers questions of the built-in task, alone and in batches
    embedding             the embedder reads some of its pages
    training              a shallow copy of the model, with its widths, takes a few steps
    matrix products       of the model's widths, at a batch and at a single row
    idle                  a second of nothing

All of it is metered by the project's own meter, and shapes are tallied as in runs.
"""

from __future__ import annotations

import datetime
import functools
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CannotRun, ModelError
from ..files import cache_folder, file_digest, storage
from ..machine import machine
from ..measure.calibration import Calibration, Habit, Opening
from ..measure.environment import environment
from ..measure.memory import available_memory_bytes
from ..measure.meter import Meter
from ..models.devices import preferred_device, preferred_dtype
from ..models.fetch import resolve
from ..models.local import LocalModel
from ..prompt import Message, Shot
from ..system import Decoding
from ..tasks.load import load_task
from .timed import Piece, Pieces, grown, metered, rates_of, stopwatch
from .training_trial import training_pieces

if TYPE_CHECKING:
    from ..tasks.task import Task

MODEL, EMBEDDER, TASK = "smollm2-135m-q4", "minilm", "harbour"
"""What is measured with where nothing is said: the packaged models, and the built-in task."""
QUESTIONS, SHOTS = 12, 4
ANSWER = Decoding(max_tokens=24)
SHARES = {"answering": 0.5, "training_adapter": 0.15, "training_all": 0.15, "embedding": 0.1}
"""Of the seconds; the rest is idling and matrix products."""
IDLE_S = 1.0
SAVED = 64 * 1024**2
"""Bytes that are written to see how long that takes."""


def calibrate(
    model: str = MODEL,
    *,
    seconds: float = 10.0,
    embedder: str | None = EMBEDDER,
    say: Callable[[str], None] = lambda line: None,
) -> Calibration:
    """Measure this machine for about `seconds`, opening the models not counted in.

    Each kind of work is tried once at least, so a slow machine takes longer. Kinds that do not fit
    into memory are left out. Raises `ModelError` for a model that cannot be had, `CannotRun` where
    it does not fit.
    """
    began = time.perf_counter()
    device = preferred_device()
    found = resolve(model, kind="causal_lm")
    task = load_task(TASK)
    meter = Meter()
    known: dict[str, str] = {}
    pieces = {name: Pieces() for name in SHARES}
    habits: dict[str, Habit] = {}
    with meter:
        say("idle")
        baseline = meter.measure_baseline(IDLE_S)
        with LocalModel.open(found.folder, available_bytes=available_memory_bytes()) as first:
            first.generate(_chats(task, 2), Decoding(max_tokens=2))  # libraries import and compile
        opened, opening = _opened(found.folder, device)
        with opened:
            say("reading and writing")
            opened.generate(_chats(task, 2), Decoding(max_tokens=2))
            _ = opened.account.costs  # counted now, which is not to be timed
            with metered(meter, pieces["answering"], known):
                _answering(opened, task, pieces["answering"], habits, seconds * SHARES["answering"])
            config = opened.model.config.get_text_config()
        say("training")
        beside = 0
        for name in ("training_adapter", "training_all"):
            metering = functools.partial(metered, meter, pieces[name], known)
            with grown() as memory:
                said = training_pieces(
                    config, name, pieces[name], seconds * SHARES[name], device, metering
                )
            if said and memory and device == "cpu":
                beside = max(beside, memory[1] - memory[0] - said)
        if embedder is not None:
            say("embedding")
            _embedding(embedder, task, meter, pieces["embedding"], known, seconds, device)
        say("matrix products")
        flops_per_s, bytes_per_s = products(config, device)
        say("disk")
        saved_s = saving()
    rates = rates_of(pieces, 1 / flops_per_s)
    watts = [each.watts for each in rates.values() if each.watts is not None]
    return Calibration(
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        duration_s=round(time.perf_counter() - began, 1),
        model=found.name,
        model_revision=found.revision,
        width=int(config.hidden_size),
        embedder=embedder or "",
        machine=machine(),
        environment=environment(),
        flops_per_s=flops_per_s,
        bytes_per_s=bytes_per_s,
        s_per_saved_byte=saved_s / SAVED,
        idle_w=sum(baseline.power_w.values()) if baseline.power_w else None,
        load_w=max(watts, default=None),
        known=known,
        rates=rates,
        habits=habits,
        opening=opening,
        training_process_bytes=beside,
        contended_percent=baseline.cpu_percent,
    )


def _opened(folder: Path, device: str) -> tuple[LocalModel, Opening]:
    """The model, and what opening it took."""
    with grown() as memory, stopwatch(device) as taken:
        opened = LocalModel.open(folder, available_bytes=available_memory_bytes())
    weights = sum(weight.nbytes for weight in opened.model.parameters())
    opening = Opening(duration_s=taken[0], weights_bytes=weights)
    if not memory:
        return opened, opening
    before, most = memory
    held = max(1.0, (most - before) / weights) if device == "cpu" else 1.0
    return opened, opening.model_copy(update={"process_bytes": before, "held_per_byte": held})


def _chats(
    task: Task, count: int, shots: Sequence[Shot] = (), text: str = "", first: int = 0
) -> list[list[Message]]:
    """Training questions of the task as the default prompt asks them, `text` before each."""
    from ..prompt import PromptTemplate

    asked = task.train[first : first + count]
    prompt = PromptTemplate()
    return [
        prompt.render(f"{text}{one.question}", refusal=task.refusal or "", shots=shots)
        for one in asked
    ]


def _answering(
    model: LocalModel, task: Task, pieces: Pieces, habits: dict[str, Habit], seconds: float
) -> None:
    """Questions alone and in batches, with shots and with pages before them; again while there is
    time. The first turn tells the model's habits, too."""
    shots = [
        Shot(id=one.id, question=one.question, answer=one.answers[0]) for one in task.train[-SHOTS:]
    ]
    pages = [page.text for page in task.documents]
    long = [
        _chats(task, 1, text=f"{pages[n % len(pages)][:600]}\n\n", first=n)[0] for n in range(2)
    ]
    gold = [model.count_tokens(one.answers[0]) + 1 for one in task.train[:QUESTIONS]]
    plain, shown = _chats(task, QUESTIONS), _chats(task, QUESTIONS, shots)
    work: list[tuple[str, list[list[Message]], Decoding]] = [
        ("plain", plain, ANSWER),
        ("shots", shown, ANSWER),
        ("", plain[:1], Decoding(max_tokens=12, stop=())),
        ("", long, Decoding(max_tokens=2)),
        ("", plain[:4], Decoding(max_tokens=12, stop=())),
        ("", shown[1:2], Decoding(max_tokens=8, stop=())),
        ("", long[1:2], Decoding(max_tokens=6, stop=())),
        ("", plain[5:9], Decoding(max_tokens=1)),
    ]
    until = time.perf_counter() + seconds
    for turn in range(100):
        for name, chats, decoding in work:
            if turn and time.perf_counter() > until:
                return
            before = model.account.tally
            with stopwatch(model.device) as taken:
                made = model.generate(chats, decoding)
            pieces.made.append(Piece(model.account.costs, model.account.tally - before, taken[0]))
            if name and not turn:
                written = [one.tokens_out for one in made]
                habits[name] = Habit.of(gold, written, decoding.max_tokens)


def _embedding(
    name: str,
    task: Task,
    meter: Meter,
    pieces: Pieces,
    known: dict[str, str],
    seconds: float,
    device: str,
) -> None:
    """Pages in batches and questions alone; nothing where the embedder is not a model here."""
    from ..models.account import Account
    from ..models.embedder import open_embedder

    try:
        found = resolve(name, kind="embedder")
        opened = open_embedder(found)
    except (ModelError, CannotRun):
        return
    with opened:
        account = opened.account
        if not isinstance(account, Account):
            return
        texts = [page.text[:500] for page in task.documents]
        questions = [one.question for one in task.train]
        opened.encode_queries(questions[:1])
        _ = account.costs
        until = time.perf_counter() + seconds * SHARES["embedding"]
        with metered(meter, pieces, known):
            for turn in range(100):
                for some in (texts[:16], questions[turn : turn + 1], questions[:8]):
                    if turn and time.perf_counter() > until:
                        return
                    before = account.tally
                    with stopwatch(device) as taken:
                        opened.encode_queries(some)
                    pieces.made.append(Piece(account.costs, account.tally - before, taken[0]))


def products(config: Any, device: str) -> tuple[float, float]:
    """Operations per second of a matrix product at a batch of 512 rows, and bytes per second of
    weights at a single row, of the model's widths in its precision; the median of some turns."""
    import statistics

    import torch

    dtype = getattr(torch, preferred_dtype(device))
    wide, hidden = int(getattr(config, "intermediate_size", 0) or 2048), int(config.hidden_size)
    copies = max(1, 64 * 1024**2 // (wide * hidden * dtype.itemsize))  # more than caches hold
    layers = [torch.ones(wide, hidden, dtype=dtype, device=device) for _ in range(copies)]
    batch, single = (torch.ones(n, hidden, dtype=dtype, device=device) for n in (512, 1))
    taken: dict[str, list[float]] = {"batch": [], "single": []}
    with torch.inference_mode():
        for turn in range(6):
            with stopwatch(device) as some:
                for layer in layers[:8]:
                    torch.nn.functional.linear(batch, layer)
            with stopwatch(device) as alone:
                for layer in layers:
                    torch.nn.functional.linear(single, layer)
            if turn:  # the first one compiles
                taken["batch"] += some
                taken["single"] += alone
    operations = 2 * 512 * wide * hidden * len(layers[:8])
    read = wide * hidden * dtype.itemsize * copies
    return operations / statistics.median(taken["batch"]), read / statistics.median(taken["single"])


def saving() -> float:
    """Seconds to write `SAVED` bytes where stages lie and to digest them, the median of three."""
    import statistics

    import torch

    numbers, taken = torch.ones(SAVED // 4), []
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
        for turn in range(3):
            path = Path(folder, f"{turn}.pt")
            began = time.perf_counter()
            with storage(path):
                torch.save({"weights": numbers}, path)
                file_digest(path)
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)
