"""Which examples are shown: each rule of selection, in which order, and none in its own prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattune import RAG, Prompt
from wattune.answering.session import Session
from wattune.context_sources import NearestShots
from wattune.errors import CannotRun
from wattune.job import Job, fingerprints, jobs_of
from wattune.prompt import Shot, ordered
from wattune.rag.shot_index import ShotIndex
from wattune.recipe_file import load_recipe
from wattune.strategies.shots import (
    Selection,
    choose_shots,
    farthest_first,
    training_choices,
)
from wattune.tasks.task import Example


def job(ferry: Any, base: Any, *steps: Any, seed: int = 0) -> Job:
    return Job(name="it", strategies=steps, task=ferry, system=base, seed=seed)


def labelled(answers: str, kinds: str = "") -> tuple[Example, ...]:
    """One example for each letter, which is its answer; kinds are letters too."""
    return tuple(
        Example(id=str(at), question=f"Q{at}?", answers=(answer,), kind=(kinds or "k" * 99)[at])
        for at, answer in enumerate(answers)
    )


def ids(shots: Sequence[Shot]) -> list[str]:
    return [shot.id for shot in shots]


def test_fixed_takes_the_first_and_seeded_draws() -> None:
    train = labelled("abcdefgh" * 3)
    assert ids(choose_shots(train, 3, 5, "fixed")) == ["0", "1", "2"]
    drawn = [ids(choose_shots(train, 4, seed, "seeded")) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(ids(choose_shots(train, 24, 0, "seeded")))) == 24


def test_balanced_goes_by_the_answers_of_a_classification_only() -> None:
    spam = choose_shots(labelled("nnnnnnyy"), 4, 0)
    assert [shot.answer for shot in spam] == ["n", "y", "n", "y"]
    # As many answers as half the examples: no classes, so one kind alone, as drawn.
    names = labelled("nnnnabcd" + "e")
    assert choose_shots(names, 4, 0) == choose_shots(names, 4, 0, "seeded")
    # Of two kinds, which go before answers.
    kinds = [shot.id for shot in choose_shots(labelled("nnnnnnyy", "aaaabbbb"), 4, 0)]
    assert [int(id) < 4 for id in kinds] == [True, False, True, False]


def test_farthest_first_begins_in_the_middle_and_goes_to_the_ends() -> None:
    line = np.array([[0.0], [4.0], [5.0], [6.0], [10.0], [10.0]], dtype=np.float32)
    # Mean 5.8: nearest 6; farthest 0 (6 off); then 10 (4 off), the first of its two.
    assert farthest_first(line, 3) == [3, 0, 4]
    assert sorted(farthest_first(line, 6)) == [0, 1, 2, 3, 4, 5]
    noisy = line + np.array([[0], [0], [0], [0], [0], [1e-7]], dtype=np.float32)
    assert farthest_first(noisy, 3) == [3, 0, 4]


def test_farthest_first_covers_within_twice_the_least_radius() -> None:
    import itertools

    points = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    best = min(apart[:, list(three)].min(1).max() for three in itertools.combinations(range(12), 3))
    assert apart[:, farthest_first(points, 3)].min(1).max() <= 2 * best + 1e-5


def test_order_reverses_or_puts_the_shortest_first() -> None:
    shots = [Shot(id=str(len(q)), question=q, answer="a") for q in ("three", "one", "twoo", "uno")]
    assert [s.question for s in ordered(shots, "chosen")] == ["three", "one", "twoo", "uno"]
    assert [s.question for s in ordered(shots, "reversed")] == ["uno", "twoo", "one", "three"]
    assert [s.question for s in ordered(shots, "shortest_first")] == ["one", "uno", "twoo", "three"]


def test_the_nearest_stands_last_and_k_remain_without_the_example(tmp_path: Path) -> None:
    shots = [
        Shot(id="north", question="N", answer="0"),
        Shot(id="again", question="N", answer="0"),
        Shot(id="near", question="NNE", answer="1"),
        Shot(id="east", question="E", answer="2"),
        Shot(id="south", question="S", answer="3"),
    ]
    vectors = np.array([[0, 1], [0, 1], [0.4, 0.9], [1, 0], [0, -1]], dtype=np.float32)
    ShotIndex.build(shots, vectors, embedder="e", revision="r").save(tmp_path)
    index = ShotIndex.load(tmp_path, embedder="e")
    asked = [
        Example(id="test", question="up?", answers=()),
        Example(id="north", question="N", answers=("0",)),
        Example(id="east", question="other words", answers=("2",)),
    ]
    towards = np.array([[0, 1], [0, 1], [1, 0]], dtype=np.float32)
    found = [ids(near) for near in index.nearest(asked, towards, 2)]
    assert found[0] == ["again", "north"]  # equally near: the earlier counts as nearer
    assert found[1] == ["east", "near"]  # neither itself nor the one of the same question
    assert found[2] == ["north", "near"]  # not itself, by its id
    assert ids(index.nearest(asked[1:2], towards[1:2], 9)[0]) == ["south", "east", "near"]


def test_nearest_shots_are_found_for_each_question(
    runner: Any, ferry: Any, base: Any, embedder: str
) -> None:
    step = Prompt(shots=3, selection="nearest", embedder=embedder)
    system, (bill,) = runner.builder.prepare(job(ferry, base, step))
    assert (bill.strategy, bill.details) == ("shot_index", {"shots": 24})
    own = ferry.train[5]
    twin = own.model_copy(update={"id": "elsewhere"})
    reworded = own.model_copy(update={"id": "new", "question": own.question.upper()})
    session = Session(system, runner.pool)
    turns = [[m["content"] for m in asked.messages] for asked in session.render([own, twin])]
    assert turns[0] == turns[1]  # left out by its id, and by its question
    assert len(turns[0]) == 1 + 2 * 3 + 1
    assert turns[0].count(own.question) == 1
    # BERT reads in small letters, so in capitals it is its own nearest, and stands last.
    (asked,) = session.render([reworded])
    assert [m["content"] for m in asked.messages[-3:-1]] == [own.question, own.answers[0]]
    back, _ = runner.builder.prepare(
        job(ferry, base, step.model_copy(update={"order": "reversed"}))
    )
    (asked,) = Session(back, runner.pool).render([reworded])
    assert asked.messages[1]["content"] == own.question


def test_nearest_shots_stand_after_those_of_every_prompt_and_with_passages(
    runner: Any, ferry: Any, base: Any, embedder: str
) -> None:
    steps = (
        Prompt(shots=1, selection="fixed"),
        Prompt(shots=2, selection="nearest", embedder=embedder),
        RAG(k=1, chunk_tokens=40, overlap_tokens=4, embedder=embedder),
    )
    system, _ = runner.builder.prepare(job(ferry, base, *steps))
    (asked,) = Session(system, runner.pool).render(ferry.test[:1])
    users = [m["content"] for m in asked.messages if m["role"] == "user"]
    assert len(users) == 4
    assert users[0] == ferry.train[0].question
    assert users[-1].startswith(f"<passage 1>\n{asked.passages[0].text}")


def test_one_index_serves_any_number_and_order_and_its_embedder_is_charged(
    runner: Any, ferry: Any, base: Any, embedder: str
) -> None:
    few = Prompt(shots=2, selection="nearest", embedder=embedder)
    many = few.model_copy(update={"shots": 5, "order": "shortest_first"})
    first, (built,) = runner.builder.prepare(job(ferry, base, few))
    second, (found,) = runner.builder.prepare(job(ferry, base, many, seed=1))
    assert (found.key, found.reused) == (built.key, True)
    assert found.attributed == built.spent
    marks = [fingerprints(job(ferry, base), system) for system in (base, first, second)]
    assert "shots" not in marks[0]
    assert marks[1]["shots"] != marks[2]["shots"]
    assert all("index" not in mark for mark in marks)
    Session(first, runner.pool).load()
    assert len(runner.pool.loads_of(first)) == 2
    assert len(runner.pool.loads_of(base)) == 1
    changed = replace(ferry, train=ferry.train[1:])
    _, (other,) = runner.builder.prepare(job(changed, base, few))
    assert other.key != built.key


def test_what_does_not_decide_is_in_no_key(runner: Any, ferry: Any, base: Any) -> None:
    def key(selection: Selection, seed: int = 0, **more: Any) -> str:
        step = Prompt(shots=2, selection=selection, **more)
        return str(runner.builder.prepare(job(ferry, base, step, seed=seed))[1][0].key)

    assert key("fixed") == key("fixed", seed=1, order="reversed", embedder="nowhere")
    assert key("balanced") == key("balanced", order="reversed", embedder="nowhere")
    assert len({key("balanced"), key("balanced", 1), key("seeded"), key("fixed")}) == 4


def test_diverse_shots_are_the_same_for_all_and_the_load_is_in_the_bill(
    runner: Any, ferry: Any, base: Any, embedder: str
) -> None:
    step = Prompt(shots=4, selection="diverse", embedder=embedder)
    system, (bill,) = runner.builder.prepare(job(ferry, base, step))
    again, (reused,) = runner.builder.prepare(job(ferry, base, step, seed=1))
    assert (reused.key, again.shots) == (bill.key, system.shots)
    vectors = runner.pool.embedder(embedder).encode_queries([e.question for e in ferry.train])
    assert ids(system.shots) == [ferry.train[row].id for row in farthest_first(vectors, 4)]
    assert bill.work.flops is not None
    assert bill.work.flops > 0
    assert runner.pool.loads_of(system) == []
    back = Prompt(shots=4, selection="diverse", embedder=embedder, order="reversed")
    reversed_, _ = runner.builder.prepare(job(ferry, base, back))
    assert reversed_.shots == system.shots[::-1]


def test_a_run_is_repeated_for_seeds_only_where_they_decide(
    recipe: Path, wattune: Any, embedder: str
) -> None:
    steps = {
        "none": "{}",
        "nearest": f"{{shots: 2, selection: nearest, embedder: {embedder}}}",
        "first": "{shots: 2, selection: fixed}",
        "drawn": "{shots: 2, selection: seeded}",
    }
    runs = "".join(f"  {name}: [{{prompt: {step}}}]\n" for name, step in steps.items())
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(f"seeds: [0, 1]\n{text[: text.index('runs:')]}runs:\n{runs}")
    made = [(one.name, one.seed) for one in jobs_of(load_recipe(str(recipe)))]
    assert made == [("none", 0), ("nearest", 0), ("first", 0), ("drawn", 0), ("drawn", 1)]


def test_a_tiny_model_runs_with_nearest_shots(wattune: Any, recipe: Path, embedder: str) -> None:
    step = f"{{prompt: {{shots: 2, selection: nearest, embedder: {embedder}}}}}"
    ran = wattune("run", recipe, f"runs={{near: [{step}]}}", "--runs", "made")
    assert ran.code == 0, ran.err
    from wattune import load_records

    (record,) = load_records("made")
    assert (record.status, record.answers) == ("done", 12)
    assert [stage.strategy for stage in record.stages] == ["shot_index"]
    (source,) = record.system["sources"]
    assert NearestShots.model_validate(source).k == 2
    assert record.fingerprints["shots"]
    shown = wattune("prompts", "show", next(Path("made").rglob("near-*.json"))).out
    assert "--- and 2 training questions, those nearest to the one asked" in shown


def test_choices_of_the_training_split_are_its_first_answers(
    runner: Any, ferry: Any, base: Any
) -> None:
    system, bills = runner.builder.prepare(job(ferry, base, Prompt(choices="train")))
    assert bills == []
    assert system.decoding.choices == tuple(f"jetty {n}" for n in range(1, 9))
    assert system.decoding.max_tokens == base.decoding.max_tokens
    named = Prompt(choices=("no", "yes"))
    system, _ = runner.builder.prepare(job(ferry, base, Prompt(choices="train"), named))
    assert system.decoding.choices == ("no", "yes")
    assert named.applied(base).decoding.choices == ("no", "yes")


def test_answers_that_are_no_classes_are_refused_with_their_count() -> None:
    assert training_choices(labelled("yny")) == ("n", "y")
    with pytest.raises(CannotRun, match=r"the 4 training examples have 4 different .*repeat"):
        training_choices(labelled("abcd"))
    with pytest.raises(CannotRun, match="the 0 training examples have 0 different"):
        training_choices(())
    many = tuple(
        Example(id=str(at), question=f"Q{at}?", answers=(str(at // 2),)) for at in range(514)
    )
    assert len(training_choices(many[:512])) == 256
    with pytest.raises(CannotRun, match=r"have 257 different .* at most 256"):
        training_choices(many)


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ("{shots: 2, selection: closest}", "'nearest', not 'closest'"),
        ("{shots: 2, order: random}", "'shortest_first', not 'random'"),
        ("{placement: middle}", "'after', not 'middle'"),
        ("{choices: test}", "'train', not 'test'"),
        ("{choices: [ham, ham]}", "each of choices once"),
        ("{choices: [ham, yes]}", '"prompt.choices.1" takes text (in quotes'),
        ("{choices: ['']}", '"prompt.choices.0"'),
        ("{choices: train, decoding: {choices: [a, b]}}", "give one of the two"),
        ("{selecton: fixed}", 'did you mean "selection"'),
    ],
)
def test_an_unknown_value_is_refused_with_its_line(
    wattune: Any, recipe: Path, step: str, sentence: str
) -> None:
    text = recipe.read_text(encoding="utf-8").replace("{shots: 2}", step)
    recipe.write_text(text, encoding="utf-8")
    refused = wattune("validate", recipe)
    line = next(at for at, row in enumerate(text.split("\n"), 1) if "few-shot" in row)
    assert refused.code == 2
    assert f"duo.yaml:{line}: " in refused.err
    assert sentence in refused.err
    assert refused.err.count("duo.yaml") == 1
