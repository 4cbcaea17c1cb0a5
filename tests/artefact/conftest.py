"""Systems to save: a random adapter of the tiny model as a stage, sources built for real."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune import RAG, LongContext, Prompt, TreeRAG
from wattune.answering.pool import Pool
from wattune.answering.session import Session
from wattune.artefact.manifest import stages_of
from wattune.job import Job
from wattune.measure.meter import Meter
from wattune.measure.record import Bill
from wattune.models.quiet import quiet_peft
from wattune.stages import StageManifest, StageRef, StageStore
from wattune.strategies.classical import Classical
from wattune.system import LocalSystem, System
from wattune.values import digest

Answers = Callable[..., list[str]]


def add_stage(store: StageStore, name: str, write: Callable[[Path], object]) -> StageRef:
    """A finished stage whose files `write` makes."""
    key = digest(name)
    bill = Bill(energy_j=7200.0, duration_s=3.0)
    with store.building(key) as partial:
        assert partial is not None
        write(partial)
        store.finish(partial, StageManifest(key=key, strategy=name, inputs={}, bill=bill))
    return StageRef(key=key)


def random_adapter(model: Path, config: Any) -> Callable[[Path], None]:
    """Writes an adapter of random weights, as PEFT saves it."""

    def write(folder: Path) -> None:
        import torch
        from peft import get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(1)
        base = AutoModelForCausalLM.from_pretrained(model, dtype="float32")
        with quiet_peft():
            wrapped = get_peft_model(base, config)
        with torch.no_grad():
            for weight in wrapped.parameters():
                if weight.requires_grad:
                    weight.normal_(std=0.3)
        wrapped.save_pretrained(str(folder))
        (folder / "README.md").unlink()

    return write


@pytest.fixture
def store(cache: Path) -> StageStore:
    """The stages of the test's cache."""
    return StageStore()


@pytest.fixture
def adapted(store: StageStore, base: LocalSystem, chat_model: Path) -> LocalSystem:
    """The tiny model with a LoRA adapter that changes what it says."""
    from peft import LoraConfig

    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    ref = add_stage(store, "lora", random_adapter(chat_model, config))
    return base.model_copy(update={"adapters": (ref,)})


@pytest.fixture
def prompt_tuned(store: StageStore, base: LocalSystem, chat_model: Path) -> LocalSystem:
    """The tiny model with an adapter that no weights can take up."""
    from peft import PromptTuningConfig

    config = PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    ref = add_stage(store, "peft", random_adapter(chat_model, config))
    return base.model_copy(update={"adapters": (ref,)})


@pytest.fixture
def weighted(store: StageStore, base: LocalSystem, chat_model: Path) -> LocalSystem:
    """The tiny model with weights that replace its own."""

    def write(folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.manual_seed(2)
        model = AutoModelForCausalLM.from_pretrained(chat_model, dtype="float32")
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.1)
        model.save_pretrained(str(folder))
        AutoTokenizer.from_pretrained(chat_model).save_pretrained(str(folder))

    return base.model_copy(update={"weights": add_stage(store, "full_fine_tuning", write)})


@pytest.fixture
def sourced(runner: Any, ferry: Any, adapted: LocalSystem, embedder: str) -> LocalSystem:
    """The adapted model with one source of each kind."""
    steps = (
        Prompt(shots=2, selection="nearest", embedder=embedder),
        LongContext(max_tokens=60, order="shortest_first"),
        TreeRAG(rag=RAG(k=1, embedder=embedder, chunk_tokens=32, overlap_tokens=4)),
        Prompt(shots=1, instruction="Say what the handbook says.", selection="fixed"),
    )
    job = Job(name="it", strategies=steps, task=ferry, system=adapted)
    system, _ = runner.builder.prepare(job)
    return system  # type: ignore[no-any-return]


@pytest.fixture
def classical(runner: Any, ferry: Any, base: LocalSystem) -> System:
    """A classifier of the training answers: no language model at all."""
    pytest.importorskip("sklearn")
    job = Job(name="it", strategies=(Classical(),), task=ferry, system=base)
    system, _ = runner.builder.prepare(job)
    return system  # type: ignore[no-any-return]


@pytest.fixture
def answers(ferry: Any) -> Answers:
    """What a System says to five questions, with its stages from the present cache."""

    def ask(system: Any) -> list[str]:
        with Meter() as meter:
            pool = Pool(StageStore(), meter)
            said = [answer.text for answer in Session(system, pool).answer(ferry.test[:5])]
            pool.close()
        return said

    return ask


@pytest.fixture
def without_keys() -> Callable[[System], str]:
    """A System as text, whatever names its stages have: elsewhere they have others."""

    def plain(system: System) -> str:
        keys = [ref.key for ref in stages_of(system).values()]
        text = json.dumps(system.plain(), sort_keys=True)
        for number, key in enumerate(dict.fromkeys(keys)):
            text = text.replace(key, str(number))
        return text

    return plain
