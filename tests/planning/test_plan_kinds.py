"""Every kind of step can be planned, or says in a sentence why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wattune.errors import ConstraintNotMet
from wattune.measure.calibration import Calibration
from wattune.planning import Plan, plan_recipe
from wattune.planning.budget import budget_of, check_budget
from wattune.planning.quantised_trial import slower
from wattune.recipe import parse_recipe
from wattune.system import Quantization

INT8 = Quantization(method="int8_weight_only")


class Widths:
    """A configuration, as far as a layer needs one."""

    hidden_size, intermediate_size = 256, 512


TRAIN = {"num_train_epochs": 1, "eval_strategy": "no"}


@pytest.fixture
def settings(task_folder: Path, chat_model: Path) -> dict[str, Any]:
    return {
        "task": str(task_folder), "model": str(chat_model), "place": "FRA",
        "realtime_questions": 1, "general_questions": 2, "baseline_s": 0,
        "decoding": {"max_tokens": 4},
    }  # fmt: skip


def planned(calibration: Calibration, settings: dict[str, Any], **runs: Any) -> Plan:
    named = {name.replace("_", "-"): steps for name, steps in runs.items()}
    return plan_recipe(parse_recipe({**settings, "runs": named}, name="kinds"), calibration)


def test_kinds_of_steps(
    settings: dict[str, Any], embedder: str, calibration: Calibration, tmp_path: Path
) -> None:
    rag = {"embedder": embedder, "k": 2, "chunk_tokens": 40}
    tree = {"embedder": embedder, "chunk_tokens": 40, "summary_tokens": 60, "budget_tokens": 100}
    nearest = {"shots": 2, "selection": "nearest", "embedder": embedder}
    found = planned(
        calibration,
        settings,
        nearest=[{"prompt": nearest}],
        diverse=[{"prompt": {**nearest, "selection": "diverse"}}],
        by_words=[{"rag": {"search": "lexical", "k": 2, "chunk_tokens": 40}}],
        oracle=[{"rag": {**rag, "retriever": "oracle"}}],
        summaries=[{"summary_tree": tree}],
        written=[{"summary_tree": {**tree, "summaries": "model", "summary_tokens": 16}}],
        long=[{"long_context": {"max_tokens": 500}}],
        swapped=[{"rag": rag}, {"lora": {"r": 2, **TRAIN}}],
        ia3=[{"peft": {"peft_type": "ia3", **TRAIN}}],
        soft=[
            {"peft": {"peft_type": "prompt_tuning", "config": {"num_virtual_tokens": 4}, **TRAIN}}
        ],
        merged=[{"lora": {"r": 2, **TRAIN}}, "merge"],
        pruned=[{"prune": {"drop": 1}}],
        continued=[{"continued_pretraining": TRAIN}],
        scratch=[{"from_scratch": {"hidden_size": 16, "num_hidden_layers": 1, **TRAIN}}],
        classical=["classical"],
    )
    reasons = {run.job.name: run.skipped for run in found.runs if run.skipped}
    assert reasons == {}
    for run in found.runs:
        phases = run.predicted.phases
        assert {"load", "answer", "realtime"} <= phases.keys()
        for phase in phases.values():
            assert phase.duration_s is not None, run.job.name
            assert phase.duration_s.low <= phase.duration_s.likely <= phase.duration_s.high
        changes = run.job.name in ("merged", "ia3", "soft", "swapped", "continued", "scratch")
        assert ("general" in phases) == (changes or run.job.name == "pruned"), run.job.name


def test_races_last_as_long_as_they_may_and_save_to_what_they_may_come_down(
    settings: dict[str, Any], calibration: Calibration
) -> None:
    raced = {"vary": {"shots": [0, 2]}, "ablate": False, "questions": 8, "first": 4}
    rates = {name: each.slowed(1e5, 1e5) for name, each in calibration.rates.items()}
    slow = calibration.model_copy(update={"rates": rates})  # so that the model's work is the most
    (run,) = planned(slow, settings, raced=[{"prompt_search": raced}]).runs
    prepare = run.predicted.phases["prepare"].duration_s
    assert prepare is not None
    # Ended after four of eight questions a prompt, it takes half.
    assert prepare.low < 0.6 * prepare.likely
    assert "how soon its races end" in " ".join(run.predicted.basis)


def test_a_checkpoint_takes_as_long_as_its_bytes(
    settings: dict[str, Any], calibration: Calibration
) -> None:
    slow = calibration.model_copy(update={"s_per_saved_byte": 1e-3})
    run = {"full": [{"full_fine_tuning": TRAIN}]}
    quick, late = (planned(one, settings, **run).runs[0] for one in (calibration, slow))
    times = [each.predicted.phases["prepare"].duration_s for each in (quick, late)]
    assert times[0] is not None
    assert times[1] is not None
    assert times[1].likely > times[0].likely + 1


def test_memory_is_that_of_opening_of_a_trainer_and_of_its_tensors(
    settings: dict[str, Any], calibration: Calibration
) -> None:
    opening = calibration.opening
    assert opening is not None
    wider = opening.model_copy(update={"held_per_byte": 1000.0})
    runs: dict[str, Any] = {"plain": [], "lora": [{"lora": {"r": 2, **TRAIN}}]}

    def peaks(**changes: Any) -> list[float]:
        made = planned(calibration.model_copy(update=changes), settings, **runs)
        found = [run.predicted.peak_memory_bytes for run in made.runs]
        return [each.likely for each in found if each is not None]

    plain, lora = peaks()
    assert peaks(training_process_bytes=10**9) == [plain, lora + 10**9]
    opened = peaks(opening=wider)[0] - 10**9
    # What a file in another precision takes while it is read grows with the weights.
    assert opened > plain - 10**9 > 0
    assert peaks(opening=opening.model_copy(update={"held_per_byte": 2000.0}))[0] - 10**9 == (
        pytest.approx(2 * opened)
    )


def test_quantised_weights_are_tried_on_a_layer(
    settings: dict[str, Any], calibration: Calibration
) -> None:
    pytest.importorskip("torchao")
    (run,) = planned(calibration, settings, small=["quantize"]).runs
    assert run.skipped == ""
    assert not any("not calibrated" in line for line in run.predicted.basis)
    layer = slower(INT8, Widths(), "cpu", "float32")
    assert layer is not None
    assert layer.flop > 0
    assert layer.byte > 1  # a quarter of the bytes, and they must be made floats first


def test_what_cannot_be_run_is_not_planned_and_says_why(
    settings: dict[str, Any], calibration: Calibration
) -> None:
    """The others are, and the sum is theirs."""
    quantized_then_tuned = [{"quantize": {}}, {"lora": {"r": 2, **TRAIN}}]
    made = planned(calibration, settings, zero=[], no=quantized_then_tuned)
    zero, no = made.runs
    assert zero.skipped == ""
    assert "quantised" in no.skipped
    assert made.energy_j == zero.spends.energy_j


def test_of_a_managed_endpoint_tokens_and_joules_are_planned_and_no_time(
    settings: dict[str, Any], calibration: Calibration
) -> None:
    """Nobody listens there: to plan asks nothing."""
    served = {
        "endpoint": "http://127.0.0.1:9/v1",
        "model": "m",
        "where": "managed",
        "energy": "gpt-4o",
    }
    made = planned(
        calibration, {**settings, "model": served}, zero=[], shots=[{"prompt": {"shots": 2}}]
    )
    for run in made.runs:
        assert run.skipped == ""
        answer = run.predicted.phases["answer"]
        assert answer.duration_s is None
        assert answer.energy_j is not None
        assert answer.energy_j.low < answer.energy_j.likely < answer.energy_j.high
        assert run.predicted.flops_answer is None
    zero, shots = (run.predicted.tokens_in for run in made.runs)
    assert zero is not None
    assert shots is not None
    assert shots.likely > zero.likely
    assert made.duration_s is None
    check_budget(made, budget_of("1kWh"))
    with pytest.raises(ConstraintNotMet, match="cannot be reckoned"):
        check_budget(made, budget_of("30min"))


def test_a_budget_is_not_kept_by_what_is_not_planned(
    settings: dict[str, Any], calibration: Calibration, embedder: str
) -> None:
    """It will run, and what it takes could be anything; what cannot run takes nothing."""
    words = {"search": "lexical", "k": 2, "chunk_tokens": 40}
    reranked = [{"rag": {**words, "reranker": embedder}}]
    made = planned(calibration, settings, plain=[], reranked=reranked)
    assert made.runs[1].unknown
    assert (made.energy_j, made.runs[0].spends.energy_j is None) == (None, False)
    with pytest.raises(ConstraintNotMet, match="reranked cannot be reckoned"):
        check_budget(made, budget_of("1MJ"))
    check_budget(planned(calibration, settings, plain=[], merged=["merge"]), budget_of("1MJ"))
