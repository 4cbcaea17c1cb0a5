"""Prompt files: read with lines, told apart by content, used by the strategy, kept in records."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from wattune import Prompt, run
from wattune.answering.session import Session
from wattune.errors import RecipeError
from wattune.files import shipped_folder
from wattune.job import Job
from wattune.prompt import PromptTemplate
from wattune.prompt_check import prompt_of, prompts_of
from wattune.prompt_file import (
    ENDING,
    PromptFile,
    decoded,
    load_prompt,
    read_prompt,
    shipped_prompts,
)
from wattune.recipe_file import load_recipe
from wattune.system import Decoding

FERRY = """\
name: ferry
version: 3
instruction: 'Be brief. Say so: {refusal}'
question: "Q: {question}"
shots:
- question: Who rows?
  answer: Per
- question: "{not a placeholder}"
  answer: |-
    two
    lines
decoding: {max_tokens: 6}
answer_after: "A:"
notes: for ferries
"""


def write(folder: Path, text: str, name: str = "ferry") -> Path:
    path = folder / f"{name}{ENDING}"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_prompt_file_is_read_rendered_and_written_again(tmp_path: Path) -> None:
    prompt = read_prompt(write(tmp_path, FERRY))
    assert (prompt.name, prompt.version, prompt.notes) == ("ferry", 3, "for ferries")
    assert [m["content"] for m in prompt.messages("Who sails?", refusal="No.")] == [
        "Be brief. Say so: No.", "Q: Who rows?", "Per",
        "Q: {not a placeholder}", "two\nlines", "Q: Who sails?",
    ]  # fmt: skip
    assert read_prompt(write(tmp_path, prompt.text(), "again")) == prompt
    assert "two\n    lines" in prompt.text()  # a block, as a person writes it


def test_only_what_a_file_says_is_in_its_prompt(tmp_path: Path) -> None:
    prompt = read_prompt(write(tmp_path, "question: 'Q: {question}'\n", "bare"))
    assert (prompt.name, prompt.version) == ("bare", 1)
    assert prompt.messages("Who?", refusal="no") == [{"role": "user", "content": "Q: Who?"}]


def test_notes_do_not_change_the_digest_and_all_else_does(tmp_path: Path) -> None:
    prompt = read_prompt(write(tmp_path, FERRY))
    changed = {
        name: read_prompt(write(tmp_path, FERRY.replace(old, new))).digest()
        for name, old, new in [
            ("notes", "for ferries", "for boats"),
            ("version", "version: 3", "version: 4"),
            ("shots", "Per", "Ada"),
            ("decoding", "max_tokens: 6", "max_tokens: 7"),
            ("placement", "version: 3", "version: 3\nplacement: after"),
        ]
    }
    assert changed.pop("notes") == prompt.digest()
    assert len({prompt.digest(), *changed.values()}) == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("question: '{asked}'", r":1: \"question\": .*placeholder \{asked\} is not known here"),
        ("version: 1\nquestion: hello", r":2: \"question\": .* has no \{question\}"),
        ("question: '{{question}}'", r"has no \{question\}"),
        ("question: '{question.__class__}'", "is not known here"),
        ("question: '{question[0]}'", "is not known here"),
        ("question: '{question:>9}'", "has a format or a conversion"),
        ("question: '{question:{question.__class__}}'", "has a format or a conversion"),
        ("question: '{question!r}'", "has a format or a conversion"),
        ("question: '{question'", r"write \{\{ and \}\} for braces"),
        ("passages: '{question}'", r"has no \{passages\}"),
        ("instruction: '{question}'", r"plain \{refusal\} may stand"),
        ("name: x\nsystm: y", r":2: unknown key \"systm\""),
        ("instrction: y", r'did you mean "instruction"'),
        ("shots:\n- question: x\n  answr: y", r":3: unknown key \"shots.0.answr\"; did you mean"),
        ("shots:\n- question: x", r":2: \"shots.0.answer\" is missing"),
        ("shots: 3", r":1: \"shots\" takes a list"),
        ("decoding:\n  max_token: 4", r':2: unknown key "decoding.max_token"; did you mean "max_'),
        ("version: '2'", r":1: \"version\": input should be a valid integer"),
        ("version: 0", "greater than or equal to 1"),
        ("name: a/b", ':1: "name"'),
        ("answer_after: ''", "at least 1 character"),
        ("name: a\nplacement: middle", r":2: \"placement\": .*'after', not 'middle'"),
        ("name: a\nname: b", r":2: \"name\" is given twice"),
        ("- a", "a prompt file is a mapping of keys"),
        ("name: [", r"bad\.prompt\.yaml:2:1: broken YAML"),
    ],
)
def test_a_fault_names_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        read_prompt(write(tmp_path, text + "\n", "bad"))


def test_the_answer_is_what_follows_the_last_marker() -> None:
    template = PromptTemplate(answer_after="Answer:")
    assert template.answer_in("One. Answer: no.\nTwo.\nAnswer:  Ada \n") == "Ada"
    assert template.answer_in("It never said so.") == "It never said so."
    assert template.answer_in("Answer:") == ""
    assert PromptTemplate().answer_in("a Answer: b") == "a Answer: b"


def test_of_decoding_only_what_is_given_counts() -> None:
    base = Decoding(max_tokens=99, temperature=0.5)
    changed = decoded(base, Decoding(max_tokens=5), None, Decoding(stop=("x",)))
    assert changed == Decoding(max_tokens=5, temperature=0.5, stop=("x",))


def test_the_strategy_takes_the_file_and_its_settings_win(
    tmp_path: Path, runner: Any, ferry: Any, base: Any
) -> None:
    path = write(tmp_path, FERRY)
    step = Prompt(file=str(path), question="{question}!", decoding=Decoding(temperature=0.5))
    job = Job(name="it", strategies=(step,), task=ferry, system=base)
    system, bills = runner.builder.prepare(job)
    assert bills == []
    assert (system.prompt.instruction, system.prompt.question) == (
        "Be brief. Say so: {refusal}", "{question}!"
    )  # fmt: skip
    assert system.prompt.answer_after == "A:"
    assert [shot.answer for shot in system.shots] == ["Per", "two\nlines"]
    assert system.decoding == Decoding(max_tokens=6, temperature=0.5)
    chosen, _ = runner.builder.prepare(
        Job(name="it", strategies=(Prompt(file=str(path), shots=2),), task=ferry, system=base)
    )
    assert {shot.id for shot in chosen.shots} <= {example.id for example in ferry.train}
    assert len(chosen.shots) == 2


def test_placement_is_the_files_the_steps_or_what_the_system_has(
    tmp_path: Path, base: Any, wattune: Callable[..., Any]
) -> None:
    path = write(tmp_path, FERRY + "placement: after\n")
    placed = Prompt(file=str(path)).applied(base)
    assert placed.prompt.placement == "after"
    assert Prompt(file=str(path), placement="before").applied(base).prompt.placement == "before"
    assert Prompt(instruction="Now.").applied(placed).prompt.placement == "after"
    assert read_prompt(write(tmp_path, read_prompt(path).text(), "again")).placement == "after"
    shown = wattune("prompts", "show", path, "-q", "Who sails?").out
    assert "--- user\nQ: Who sails?\n\nBe brief. Say so: I do not know.\n" in shown
    assert "--- system" not in shown


def test_a_file_is_part_of_the_strategy_by_its_content(tmp_path: Path) -> None:
    step = Prompt(file=str(write(tmp_path, FERRY)))
    moved = Prompt(file=str(write(tmp_path, FERRY.replace("for ferries", "moved"), "other")))
    changed = Prompt(file=str(write(tmp_path, FERRY.replace("brief", "short"), "third")))
    assert step.identity() == moved.identity() != changed.identity()
    assert Prompt(**step.plain()) == step  # as a record holds it, without the file
    (tmp_path / f"ferry{ENDING}").unlink()
    assert step.file is not None
    assert step.file.version == 3
    with pytest.raises(ValidationError, match="no such prompt file, and no shipped prompt"):
        Prompt(file="concis")


def test_a_recipe_finds_the_file_beside_it_and_tells_both_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    write(folder, FERRY)
    recipe = folder / "mine.yaml"
    recipe.write_text(
        "task: harbour\nmodel: m\nprompt:\n  file: ferry.prompt.yaml\n"
        "runs: {a: [prompt], b: [{prompt: {file: concise}}]}\n"
    )
    monkeypatch.chdir(tmp_path)
    runs = load_recipe(str(recipe)).runs
    assert [runs[name][0].file.name for name in "ab"] == ["ferry", "concise"]  # type: ignore[union-attr]
    (again,) = load_recipe(str(recipe), ["runs={a: [prompt]}", "prompt.file=cite"]).runs["a"]
    assert again.file == load_prompt("cite")  # type: ignore[union-attr]
    write(folder, FERRY.replace("version: 3", "versoin: 3"))
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(recipe))
    assert str(caught.value).startswith(f'{recipe}:4: "prompt.file": {folder / "ferry"}')
    assert 'prompt.yaml:2: unknown key "versoin"; did you mean "version"?' in str(caught.value)


def test_a_record_keeps_its_prompt_and_another_is_told_apart(
    tmp_path: Path, ferry: Any, base: Any
) -> None:
    path = write(tmp_path, FERRY)
    told: dict[str, PromptFile] = {}
    for word in ("brief", "short"):
        path.write_text(FERRY.replace("brief", word), encoding="utf-8")
        record = run([Prompt(file=str(path))], ferry, base, name=word, realtime_questions=0,
                     runs=tmp_path / "runs")  # fmt: skip
        told[word] = prompt_of(record)
        assert record.system["decoding"]["max_tokens"] == 6
        assert told[word].template == load_prompt(path).template
        assert told[word].shots == load_prompt(path).shots
    path.unlink()
    used = prompts_of(tmp_path / "runs")
    assert {prompt.digest() for prompt in told.values()} == set(used)
    assert sorted(record.name for uses in used.values() for _, record in uses) == ["brief", "short"]


def test_a_session_answers_with_what_follows_the_marker(runner: Any, ferry: Any, base: Any) -> None:
    question = ferry.test[0].question
    session = Session(base, runner.pool)
    (asked,) = session.render([ferry.test[0]])
    (made,) = session.generate([list(asked.messages)])
    marker = made.text[len(made.text) // 2]
    (answer,) = Session(Prompt(answer_after=marker).applied(base), runner.pool).answer([question])
    assert marker in made.text
    assert answer.text == made.text.rpartition(marker)[2].strip() != made.text
    assert answer.tokens_out == made.tokens_out


def test_a_shot_is_left_out_when_its_own_question_is_asked(
    tmp_path: Path, runner: Any, ferry: Any, base: Any
) -> None:
    own = ferry.test[0]
    path = write(tmp_path, FERRY.replace("Who rows?", own.question))
    session = Session(Prompt(file=str(path)).applied(base), runner.pool)
    first, second = session.render(ferry.test[:2])
    assert len(first.messages) == 1 + 2 + 1
    assert len(second.messages) == 1 + 4 + 1


def test_the_shipped_prompts_are_whole_and_named_as_their_files() -> None:
    shipped = shipped_prompts()
    assert set(shipped) == {"concise", "cite", "refuse", "chain-of-thought", "classify"}
    for name, path in shipped.items():
        prompt = load_prompt(name)
        assert prompt.name == name
        assert prompt.instruction
        assert "{refusal}" in prompt.instruction
        assert prompt.notes
        assert path.parent == shipped_folder() / "prompts"
    thinking = load_prompt("chain-of-thought")
    assert thinking.answer_after is not None
    assert all(thinking.answer_after in shot.answer for shot in thinking.shots)


@pytest.fixture
def cli_prompt(tmp_path: Path) -> Path:
    return write(tmp_path, FERRY)


def test_prompts_ls_show_and_diff(wattune: Callable[..., Any], cli_prompt: Path) -> None:
    listed = wattune("prompts", "ls").out
    assert all(name in listed for name in shipped_prompts())
    assert load_prompt("cite").digest()[:8] in listed
    assert "ferry" in wattune("prompts", "ls", ".").out
    shown = wattune("prompts", "show", cli_prompt, "-q", "Who sails?").out
    assert "--- system\nBe brief. Say so: I do not know.\n" in shown
    assert "--- user\nQ: Who sails?\n" in shown
    assert "tokens are not counted: smollm2-135m-q4 is not here" in shown
    copied = wattune("prompts", "show", "cite", "--file").out
    write(cli_prompt.parent, copied, "copied")
    assert "hold the same prompt" in wattune("prompts", "diff", "cite", "copied.prompt.yaml").out
    write(cli_prompt.parent, FERRY.replace("Per", "Ada"), "other")
    lines = wattune("prompts", "diff", cli_prompt, "other.prompt.yaml").out.splitlines()
    assert [line for line in lines[2:] if line[0] in "+-"] == ["-  answer: Per", "+  answer: Ada"]
    for arguments in (("ls", "cache"), ("show", "concis"), ("show", "gone.json")):
        ran = wattune("prompts", *arguments)
        assert ran.code == 2
        assert ran.err.startswith("error: ")
    assert 'did you mean "concise"?' in wattune("prompts", "show", "concis").err


def test_prompts_test_counts_answers_and_scores(
    wattune: Callable[..., Any], cli_prompt: Path, task_folder: Path, chat_model: Path, ferry: Any
) -> None:
    asked = ("prompts", "test", cli_prompt, "--task", task_folder, "--model", chat_model)
    ran = wattune(*asked, "-n", 2)
    assert ran.code == 0, ran.err
    assert f"--- {ferry.validation[0].id} (" in ran.out
    assert "the context window holds 4096" in ran.out
    assert "answer:" not in ran.out
    own = FERRY.replace("Who rows?", ferry.validation[3].question)
    cli_prompt.write_text(own.replace('answer_after: "A:"', 'answer_after: "e"'), encoding="utf-8")
    ran = wattune(*asked, "-n", 3, "--run", "--evidence")
    assert ran.code == 0, ran.err
    assert ran.out.count("expected: jetty ") == 3
    assert "token_f1 0." in ran.out
    assert "<passage 1>\n# Jetties" in ran.out
    assert f"note: shot-1 asks the validation question {ferry.validation[3].id}" in ran.out
    assert "answered in" in ran.out


def test_shots_that_do_not_fit_say_by_how_many_tokens(
    wattune: Callable[..., Any], cli_prompt: Path, task_folder: Path, tiny: Path
) -> None:
    cli_prompt.write_text(FERRY.replace("Per", "gate " * 100), encoding="utf-8")
    asked = ("prompts", "test", cli_prompt, "--task", task_folder, "--model", tiny)
    ran = wattune(*asked, "-n", 1)
    assert ran.code == 2
    found = re.search(
        r"has (\d+) tokens, of which the system text and 2 shot\(s\) are (\d+), and 6 are to be "
        r"written: (\d+) more than the model's context window of 256; use fewer",
        ran.err,
    )
    assert found is not None, ran.err
    tokens, fixed, over = map(int, found.groups())
    assert over == tokens + 6 - 256
    assert 200 < fixed < tokens
