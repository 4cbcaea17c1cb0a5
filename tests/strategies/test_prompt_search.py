"""PromptSearch: what it asks, what it finds and tells, what it refuses, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wattune import Prompt
from wattune.answering.session import Session
from wattune.errors import CannotRun, InputError, RecipeError
from wattune.job import Job
from wattune.recipe import parse_recipe
from wattune.recipe_file import load_recipe
from wattune.strategies.prompt_search import PromptSearch, SearchReport
from wattune.strategies.trials import mixed
from wattune.strategies.variants import without_each_sentence
from wattune.tasks.task import Example

BRIEF = "Name the jetty. Be brief."
LETTERS = "def share(text, answers):\n    return text.count('e') / max(1, len(text))\n"


@pytest.fixture(autouse=True)
def _metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics of one's own: a random model's answers have letters, and they are never right."""
    text = f"{LETTERS}\n\ndef equal(text, answers):\n    return 1.0\n"
    (tmp_path / "letters.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What sessions are asked: (digest of the system, id of the question)."""
    told: list[tuple[str, str]] = []
    answer = Session.answer

    def noted(self: Session, questions: Any, progress: Any = None) -> Any:
        told.extend((self.system.digest(), one.id) for one in questions)
        return answer(self, questions, progress)

    monkeypatch.setattr(Session, "answer", noted)
    return told


def search(**settings: Any) -> PromptSearch:
    given = {"metric": "letters:share", "first": 4, "ablate": False, **settings}
    return PromptSearch.model_validate(given)


def job(ferry: Any, base: Any, *steps: Any, seed: int = 0) -> Job:
    return Job(name="it", strategies=steps, task=ferry, system=base, seed=seed)


def report_of(bills: list[Any]) -> SearchReport:
    return SearchReport.model_validate(bills[-1].details["search"])


def test_each_setting_is_varied_in_turn_and_the_winner_is_in_the_system(
    runner: Any, ferry: Any, base: Any, asked: list[tuple[str, str]]
) -> None:
    step = search(vary={"instruction": (BRIEF, "Be loud!"), "shots": (0, 2)})
    system, bills = runner.builder.prepare(job(ferry, base, step))
    assert [bill.strategy for bill in bills] == ["prompt", "prompt_search"]
    report = report_of(bills)
    assert [choice.varied for choice in report.choices] == ["instruction", "shots"]
    wordings, shots = report.choices
    assert [one.value for one in wordings.variants] == ["as it stands", BRIEF, "Be loud!"]
    assert [one.value for one in shots.variants] == ["as it stands: 0", "2"]
    for choice in report.choices:
        means = [one.mean for one in choice.variants if one.left_at is None]
        assert choice.variants[choice.adopted].mean == max(m for m in means if m is not None)
        for one in choice.variants[1:]:
            assert one.difference is not None
            assert one.difference.n == one.questions
    wording = (base.prompt.instruction, BRIEF, "Be loud!")[wordings.adopted]
    assert system.prompt.instruction == wording
    assert len(system.shots) == (0, 2)[shots.adopted]
    assert shots.variants[1].more_in is not None
    assert shots.variants[1].more_in > 10
    # Nothing is asked twice: what stood already brings its answers along.
    assert report.asked == len(asked) == len(set(asked))


def test_what_variants_need_is_prepared_before_the_search_is_metered(
    runner: Any, ferry: Any, base: Any, embedder: str
) -> None:
    step = search(
        start={"embedder": embedder},
        vary={"shots": (0, 2), "selection": ("nearest", "diverse")},
        changes="all",
        metric="letters:equal",
    )
    _, bills = runner.builder.prepare(job(ferry, base, step))
    assert [bill.strategy for bill in bills].count("prompt_search") == 1
    assert bills[-1].strategy == "prompt_search"
    assert {bill.strategy for bill in bills} == {"prompt", "shot_index", "prompt_search"}
    assert len({bill.key for bill in bills}) == len(bills)
    # A phase inside another's would stand on both bills.
    assert {phase.parent for phase in runner.pool.loads.values()} == {None}
    assert sum(bill.spent.duration_s for bill in bills) == pytest.approx(
        runner.meter.phases["prepare"].duration_s
    )


def test_only_validation_questions_are_asked(
    runner: Any, ferry: Any, base: Any, asked: list[tuple[str, str]]
) -> None:
    runner.builder.prepare(job(ferry, base, search(vary={"instruction": (BRIEF,)}, ablate=True)))
    assert {id for _, id in asked} == {example.id for example in ferry.validation}


def test_questions_bounds_what_is_asked(
    runner: Any, ferry: Any, base: Any, asked: list[tuple[str, str]]
) -> None:
    _, bills = runner.builder.prepare(
        job(ferry, base, search(vary={"instruction": (BRIEF, "")}, questions=5))
    )
    assert report_of(bills).questions == 5
    assert len({id for _, id in asked}) == 5


def test_all_combinations_race_together(runner: Any, ferry: Any, base: Any) -> None:
    vary = {"instruction": (BRIEF, ""), "decoding.max_tokens": (2, 3)}
    system, bills = runner.builder.prepare(job(ferry, base, search(vary=vary, changes="all")))
    (choice,) = report_of(bills).choices
    assert [one.value for one in choice.variants] == [
        "as it stands",
        "instruction=Name the jetty. Be br…, decoding.max_tokens=2",
        "instruction=Name the jetty. Be br…, decoding.max_tokens=3",
        "instruction=, decoding.max_tokens=2",
        "instruction=, decoding.max_tokens=3",
    ]
    assert system.decoding.max_tokens == (4, 2, 3, 2, 3)[choice.adopted]


def test_a_second_run_finds_the_winner_and_asks_nothing(
    runner: Any, ferry: Any, base: Any, asked: list[tuple[str, str]]
) -> None:
    step = search(vary={"shots": (2,)}, start={"instruction": BRIEF})
    system, first = runner.builder.prepare(job(ferry, base, step))
    asked.clear()
    again, second = runner.builder.prepare(job(ferry, base, step))
    assert (again, asked) == (system, [])
    assert [bill.reused for bill in second] == [True, True]
    assert [bill.attributed for bill in second] == [bill.spent for bill in first]
    assert [bill.details for bill in second] == [bill.details for bill in first]


def test_what_answers_depend_on_is_another_search(runner: Any, ferry: Any, base: Any) -> None:
    def key(step: PromptSearch, task: Any = ferry, system: Any = base) -> str:
        return str(runner.builder.prepare(job(task, system, step))[1][-1].key)

    vary: dict[str, Any] = {"instruction": (BRIEF,), "question": ("{question} Say:",)}
    step = search(vary=vary, questions=4)
    longer = base.model_copy(
        update={"decoding": base.decoding.model_copy(update={"max_tokens": 5})}
    )
    fewer = replace(ferry, validation=ferry.validation[:6])
    keys = [
        key(step),
        key(search(vary=dict(reversed(vary.items())), questions=4)),
        key(step, system=longer),
        key(step, task=fewer),
        key(search(vary=vary, questions=5)),
    ]
    assert len(set(keys)) == len(keys)
    assert key(step, task=replace(ferry, test=())) == keys[0]


def test_without_a_sentence_that_earns_nothing_the_prompt_is_shorter(
    runner: Any, ferry: Any, base: Any
) -> None:
    step = search(start={"instruction": BRIEF}, ablate=True, metric="letters:equal")
    system, bills = runner.builder.prepare(job(ferry, base, step))
    (choice,) = report_of(bills).choices
    assert choice.ablation
    assert [one.value for one in choice.variants] == [
        f"as it stands: {BRIEF}",
        "without: Name the jetty.",
        "without: Be brief.",
    ]
    assert choice.adopted == 1  # all score alike, and this leaves the fewest tokens
    assert system.prompt.instruction == "Be brief."
    saved = choice.variants[1].more_in
    assert saved is not None
    assert saved < 0


def test_prompt_files_can_be_tried(runner: Any, ferry: Any, base: Any) -> None:
    step = search(vary={"file": ("concise", "refuse")}, metric="letters:equal")
    system, bills = runner.builder.prepare(job(ferry, base, step))
    (choice,) = report_of(bills).choices
    assert [one.value for one in choice.variants] == ["as it stands", "concise 1", "refuse 1"]
    files = [Prompt(file=name).applied(base).prompt for name in ("concise", "refuse")]
    assert system.prompt == [base.prompt, *files][choice.adopted]
    assert PromptSearch.model_validate(step.plain()).identity() == step.identity()


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("judge:json:loads", "needs a judge, whose calls cost"),
        ("semantic", "needs an embedder"),
        ("macro_f1", "no mean over questions"),
    ],
)
def test_metrics_that_do_not_score_by_question_here_are_refused(
    metric: str, why: str, runner: Any, ferry: Any, base: Any
) -> None:
    with pytest.raises(ValueError, match=why):
        search(metric=metric, ablate=True)
    task = replace(ferry, metrics=(metric,))
    with pytest.raises(InputError, match=why):
        runner.builder.prepare(job(task, base, search(metric=None, ablate=True)))


def test_what_cannot_be_searched_says_why(runner: Any, ferry: Any, base: Any) -> None:
    step = search(vary={"shots": (2, 30)})
    with pytest.raises(CannotRun, match="validation questions and the task has none"):
        runner.builder.prepare(job(replace(ferry, validation=()), base, step))
    with pytest.raises(CannotRun, match="shots is 30 and the task has 24 training"):
        runner.builder.prepare(job(ferry, base, step))
    step = search(vary={"instruction": (BRIEF,)}, metric="hallucination_rate")
    with pytest.raises(CannotRun, match="hallucination_rate, and no answer has a score by it"):
        runner.builder.prepare(job(ferry, base, step))


def test_wrong_values_are_told_with_their_lines(recipe: Path) -> None:
    head = recipe.read_text(encoding="utf-8").partition("runs:")[0]
    recipe.write_text(
        head + "runs:\n  it:\n    - prompt_search:\n        vary:\n"
        "          shots: [0, -1]\n          instructon: [a]\n          question:\n"
        '            - "{question}"\n            - no place for it\n'
        "          decoding.max_tokens: [0]\n          passages: []\n        metric: token_f2\n"
        "  idle: [{prompt_search: {ablate: false}}]\n",
        encoding="utf-8",
    )
    before = len(head.split("\n")) - 1
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(recipe))
    told = [line.partition("duo.yaml:")[2] for line in str(caught.value).split("\n")]
    expected = {
        5: '"prompt_search.vary.shots.1": input should be greater than or equal to 0',
        6: '"prompt_search.vary.instructon": no setting of prompt; did you mean "instruction"?',
        9: '"prompt_search.vary.question.1": prompt template `question` has no {question}',
        10: '"prompt_search.vary.decoding.max_tokens.0": input should be greater than or equal',
        11: '"prompt_search.vary.passages": give a list of the values to try',
        12: '"prompt_search.metric": metric "token_f2" is not known; did you mean "token_f1"?',
        13: '"prompt_search": there is nothing to try',
    }
    assert len(told) == len(expected)
    for line, (number, said) in zip(told, expected.items(), strict=True):
        assert line.startswith(f"{before + number}: {said}")


def test_every_beginning_has_the_mix_of_kinds() -> None:
    examples = [
        Example(id=f"{kind}-{n}", question="?", answers=("a",), kind=kind)
        for kind, count in (("fact", 24), ("rare", 8))
        for n in range(count)
    ]
    for seed in range(3):
        order = mixed(examples, seed)
        assert sorted(e.id for e in order) == sorted(e.id for e in examples)
        for size in range(4, 33, 4):
            assert abs(sum(e.kind == "rare" for e in order[:size]) - size / 4) <= 1
    assert mixed(examples, 0) == mixed(examples, 0) != mixed(examples, 1)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        ("One only", [("One only", "")]),
        (
            'Be brief. If unsure, say "{refusal}." Stop!\n- no lists',
            [
                ("Be brief.", 'If unsure, say "{refusal}." Stop!\n- no lists'),
                ('If unsure, say "{refusal}."', "Be brief. Stop!\n- no lists"),
                ("Stop!", 'Be brief. If unsure, say "{refusal}." - no lists'),
                ("- no lists", 'Be brief. If unsure, say "{refusal}." Stop!'),
            ],
        ),
        ("Give 3.5 as 3.5.", [("Give 3.5 as 3.5.", "")]),
    ],
)
def test_each_sentence_is_left_out(text: str, sentences: list[tuple[str, str]]) -> None:
    assert without_each_sentence(text) == sentences


def test_the_report_is_printed_and_the_record_holds_the_prompt(
    wattune: Callable[..., Any], recipe: Path, tmp_path: Path
) -> None:
    head = recipe.read_text(encoding="utf-8").partition("runs:")[0]
    recipe.write_text(
        head + f'prompt_search:\n  start: {{instruction: "{BRIEF}"}}\n  vary: {{shots: [2]}}\n'
        "  metric: letters:equal\n  first: 4\nruns:\n  found: [prompt_search]\n  plain: []\n",
        encoding="utf-8",
    )
    assert wattune("compare", recipe).code == 0
    (record,) = (tmp_path / "runs" / "duo").glob("found-*.json")
    shown = wattune("prompts", "report", record)
    assert shown.code == 0
    assert "shots: the questions ran out" in shown.out
    assert "each sentence of the instruction left out: the questions ran out" in shown.out
    assert "★ without: Name the jetty." in shown.out
    assert "+0.000 [+0.000, +0.000]" in shown.out
    assert "without: Be brief." in shown.out.partition("What each change was worth")[2]
    assert "could go" in shown.out
    assert "What each change was worth" in shown.out
    assert "validation questions" in shown.out
    prompt = wattune("prompts", "show", record, "--file")
    assert "instruction: Be brief.\n" in prompt.out
    (plain,) = (tmp_path / "runs" / "duo").glob("plain-*.json")
    refused = wattune("prompts", "report", plain)
    assert (refused.code, "no prompt search there" in refused.err) == (2, True)


def test_the_recipe_in_a_record_makes_the_same_search(ferry: Any, base: Any) -> None:
    step = search(vary={"shots": (2,), "instruction": (BRIEF, None)}, start={"file": "concise"})
    settings = {key: value for key, value in step.plain().items() if key != "type"}
    content = {"task": "harbour", "model": "x", "runs": {"it": [{"prompt_search": settings}]}}
    (again,) = parse_recipe(content, name="it").runs["it"]
    assert again.identity() == step.identity()
