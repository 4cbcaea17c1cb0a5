"""Forgetting: weights are asked alone, once for each, and what that took stands by itself."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import wattune as wt
from wattune import forgetting as module
from wattune.answering.session import Session
from wattune.compare import compare
from wattune.context_sources import ShotsSource
from wattune.endpoint_ref import EndpointRef
from wattune.errors import RecipeError
from wattune.files import read_json_lines
from wattune.forgetting import ANSWERS, DECODING, NEUTRAL, NOT_ASKED, Forgetting, forgetting
from wattune.job import Job
from wattune.measure.general import GeneralQuestion, general_questions, set_digest
from wattune.measure.record import Bill
from wattune.prompt import PromptTemplate, Shot
from wattune.recipe import QUICK_GENERAL, parse_recipe
from wattune.stages import StageManifest, StageRef
from wattune.system import Decoding, LocalSystem

TUNED = wt.LoRA.model_validate(
    {"r": 2, "num_train_epochs": 1, "per_device_train_batch_size": 8, "warmup_steps": 0}
)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six tokens an answer, so that the tests are quick."""
    monkeypatch.setattr(module, "DECODING", DECODING.model_copy(update={"max_tokens": 6}))


@pytest.fixture
def other(runner: Any, base: LocalSystem, chat_model: Path) -> LocalSystem:
    """The base with other weights, as full fine-tuning would leave them."""
    return with_weights(runner, base, chat_model, scale=-1.5)


def with_weights(runner: Any, base: LocalSystem, folder: Path, *, scale: float) -> LocalSystem:
    import torch
    from transformers import AutoModelForCausalLM

    key = f"weights{scale}"
    with runner.stages.building(key) as partial:
        model = AutoModelForCausalLM.from_pretrained(folder)
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(scale)
        model.save_pretrained(partial)
        manifest = StageManifest(key=key, strategy="full", inputs={}, bill=Bill())
        runner.stages.finish(partial, manifest)
    return base.model_copy(update={"weights": StageRef(key=key)})


def ask(runner: Any, system: Any, base: Any, count: Any = 8) -> Forgetting:
    return forgetting(system, base, count=count, pool=runner.pool)


def said(runner: Any, system: LocalSystem, question: str) -> str:
    """What the weights answer when they are asked alone."""
    asked = {"prompt": NEUTRAL, "sources": (), "decoding": module.DECODING}
    session = Session(system.model_copy(update=asked), runner.pool)
    return str(session.answer([question])[0].text)


def test_what_the_base_knew_and_the_tuned_weights_do_not_is_counted(
    runner: Any, base: LocalSystem, other: LocalSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {q: (said(runner, base, q), said(runner, other, q)) for q in ("Who?", "Where?", "Why?")}
    assert all(one != two for one, two in texts.values())
    # The base knows the first two, the other weights know the third.
    golds = [texts["Who?"][0], texts["Where?"][0], texts["Why?"][1]]
    made = tuple(
        GeneralQuestion(
            id=asked, kind=kind, question=asked, pattern=re.escape(gold), gold=gold, wrong="-"
        )
        for asked, gold, kind in zip(texts, golds, ("a", "a", "b"), strict=True)
    )
    monkeypatch.setattr(module, "general_questions", lambda count: made)
    general, phase, flags = ask(runner, other, base)
    assert general is not None
    assert (general.scores_before, general.scores_after) == ((1, 1, 0), (0, 0, 1))
    assert general.change.value == pytest.approx(-1 / 3)
    assert {kind: (of.before, of.after) for kind, of in general.by_kind.items()} == {
        "a": (1, 0), "b": (0, 1)
    }  # fmt: skip
    assert general.set == set_digest(made)
    assert phase is not None
    assert phase.repeats == 2  # the base, and the other weights
    assert flags == ()


def test_each_weights_are_asked_once_for_all_runs(
    runner: Any, base: LocalSystem, other: LocalSystem, chat_model: Path
) -> None:
    first = ask(runner, other, base)
    assert first.phase is not None
    retrieving = other.model_copy(
        update={
            "prompt": PromptTemplate(instruction="Shout."),
            "sources": (ShotsSource(shots=(Shot(id="a", question="b", answer="c"),)),),
            "decoding": Decoding(max_tokens=9),
        }
    )
    again = ask(runner, retrieving, base)
    assert again == Forgetting(first.general)
    third = ask(runner, with_weights(runner, base, chat_model, scale=0.5), base)
    assert third.phase is not None
    manifests = [
        manifest
        for path in runner.stages.root.glob("*/stage.json")
        if (manifest := runner.stages.manifest(path.parent.name)).strategy == "general"
    ]
    assert len(manifests) == 3  # two sets of weights and, once, the base
    asked = sorted(manifests, key=lambda manifest: manifest.created_at)
    assert all(manifest.bill.duration_s > 0 for manifest in asked)
    assert [manifest.inputs["weights"] for manifest in asked].count([base.revision]) == 1
    rows = read_json_lines(runner.stages.folder(StageRef(key=asked[0].key)) / ANSWERS)
    assert [row["question"] for _, row in rows] == [q.question for q in general_questions(8)]


def test_nothing_is_asked_where_nothing_can_be_forgotten(
    runner: Any, base: LocalSystem, other: LocalSystem
) -> None:
    endpoint = wt.load_system(EndpointRef(model="x", endpoint="http://localhost:1/v1"))
    prompted = base.model_copy(update={"prompt": PromptTemplate(instruction="Shout.")})
    for system, of, count in [
        (base, base, 8), (prompted, base, 8), (other, base, 0), (other, base, False),
        (endpoint, endpoint, 8),
    ]:  # fmt: skip
        assert ask(runner, system, of, count) == Forgetting()
    assert runner.pool.loads == {}


def test_a_model_that_cannot_be_asked_keeps_its_run(
    runner: Any, base: LocalSystem, other: LocalSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DECODING", DECODING.model_copy(update={"max_tokens": 4096}))
    general, _, flags = ask(runner, other, base)
    assert general is None
    assert flags[0].startswith(f"{NOT_ASKED}: prompt 1 of 8 has")
    assert not list(runner.stages.root.glob("*.partial"))


def test_the_record_of_a_tuned_run_holds_it_and_no_cost_does(
    runner: Any, ferry: Any, base: Any
) -> None:
    task = replace(ferry, train=ferry.train[:8], test=ferry.test[:2])

    def run(name: str, *steps: Any) -> Any:
        job = Job(
            name=name, strategies=steps, task=task, system=base, realtime_questions=0,
            general_questions=8,
        )  # fmt: skip
        record, _ = runner.run(job)
        assert record.status == "done", record.reason
        return record

    plain, lora = run("plain", wt.Prompt(shots=1)), run("lora", TUNED)
    again = run("again", TUNED, wt.SelfConsistency(samples=2, temperature=0.5))
    assert plain.general is None
    assert "general" not in plain.phases
    assert lora.general.questions == 8
    asked = lora.phases["general"]
    answering = sum(lora.phases[name].duration_s for name in ("answer", "load"))
    stages = sum(stage.spent.duration_s for stage in lora.stages)
    assert lora.spent.duration_s >= asked.duration_s + stages
    assert lora.spent.duration_s <= asked.duration_s + stages + answering
    assert lora.prepare.duration_s == stages
    assert again.general == lora.general
    assert "general" not in again.phases
    (table,) = [t for t in compare([plain, lora]).tables() if t.title.startswith("Forgetting")]
    assert [row[0] for row in table.rows] == ["lora"]


def recipe_of(**settings: Any) -> Any:
    return parse_recipe(
        {"task": "harbour", "model": "m", "strategies": ["lora"], **settings}, name="r"
    )


def test_a_recipe_says_how_many_and_quick_asks_few() -> None:
    for given, quick in [(True, QUICK_GENERAL), (60, QUICK_GENERAL), (8, 8), (0, 0), (False, 0)]:
        recipe = recipe_of(general_questions=given)
        assert recipe.settings.general_questions is given
        assert recipe.quicker().settings.general_questions == quick
    assert recipe_of().settings.general_questions is True
    assert recipe_of(general_questions=5).of_run("r", 0)["general_questions"] == 5


@pytest.mark.parametrize("wrong", [-1, 1.5, "many"])
def test_what_is_no_number_of_questions_is_refused(wrong: Any) -> None:
    with pytest.raises(RecipeError, match="general_questions"):
        recipe_of(general_questions=wrong)


def test_how_many_is_in_the_key_of_a_run_that_may_change_weights(ferry: Any, base: Any) -> None:
    tuned = Job(name="a", strategies=(TUNED,), task=ferry, system=base)
    assert replace(tuned, general_questions=8).key != tuned.key
    assert replace(tuned, general_questions=False).key == replace(tuned, general_questions=0).key
    assert replace(tuned, general_questions=len(general_questions())).key == tuned.key
    plain = replace(tuned, strategies=())
    assert replace(plain, general_questions=8).key == plain.key
