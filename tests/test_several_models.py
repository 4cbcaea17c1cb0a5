"""Recipes of several models: each run once a model, smallest first, each record its own model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune.errors import RecipeError
from wattune.job import jobs_of, order_of_models
from wattune.measure.model_facts import STATED
from wattune.measure.store import load_records
from wattune.recipe import Recipe, parse_recipe
from wattune.recipe_file import load_recipe
from wattune.run import run_recipe

Wattune = Callable[..., Any]


@pytest.fixture(scope="session")
def larger(chat_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny chat model with more layers than the other, whose card names a licence."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("larger") / "tiny-larger"
    AutoTokenizer.from_pretrained(chat_model).save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig.from_pretrained(chat_model, num_hidden_layers=3)
    LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\nlanguage: en\n---\n", encoding="utf-8")
    return folder


@pytest.fixture
def path(tmp_path: Path, task_folder: Path, chat_model: Path, larger: Path) -> Path:
    """A recipe of two runs and two models, the larger one written first."""
    made = tmp_path / "sizes.yaml"
    made.write_text(
        f"task: {task_folder.name}\nmodels: [{larger}, {chat_model}]\nplace: FRA\n"
        "realtime_questions: 1\nbaseline_s: 0\ngeneral_questions: 0\ndecoding: {max_tokens: 4}\n"
        "runs:\n  zero-shot: []\n  few-shot: [{prompt: {shots: 2}}]\n",
        encoding="utf-8",
    )
    return made


NAMES = [
    "zero-shot@tiny-chat", "few-shot@tiny-chat", "zero-shot@tiny-larger", "few-shot@tiny-larger",
]  # fmt: skip


def test_every_run_is_made_with_every_model_the_smallest_first(
    path: Path, tmp_path: Path, chat_model: Path, larger: Path
) -> None:
    said: list[str] = []
    recipe = load_recipe(str(path))
    records = run_recipe(recipe, tmp_path / "runs", say=said.append)
    assert [record.name for record in records] == NAMES
    assert [record.status for record in records] == ["done"] * 4
    assert said[0].startswith("models, smallest first: tiny-chat (")
    assert "tiny-larger (" in said[0]
    small, large = records[0].model, records[2].model
    assert small is not None
    assert large is not None
    assert small.parameters is not None
    assert large.parameters is not None
    assert small.parameters < large.parameters
    assert (large.licence, large.languages, large.where) == ("mit", ("en",), "this_machine")
    assert set(large.sources) == set(STATED)
    # Each record is a recipe of its own, and gives the very same run again.
    again = parse_recipe(records[3].recipe, name="again")
    assert again.settings.model == str(larger)
    assert again.settings.models == ()
    (job,) = jobs_of(again)
    assert (job.name, job.key) == (records[3].name, records[3].key)
    assert len(load_records(tmp_path / "runs")) == 4
    said.clear()
    run_recipe(recipe, tmp_path / "runs", say=said.append)
    assert said[-1].startswith("4 of 4 runs were finished before")


def test_models_whose_size_nobody_states_come_last(path: Path) -> None:
    server = "{endpoint: 'https://models.example.org/v1', model: vast}"
    text = path.read_text(encoding="utf-8").replace("models: [", f"models: [{server}, ")
    path.write_text(text, encoding="utf-8")
    jobs = jobs_of(load_recipe(str(path)))
    assert [job.name for job in jobs] == [*NAMES, "zero-shot@vast", "few-shot@vast"]
    assert order_of_models(jobs).endswith("vast (size unknown)")


def test_quick_keeps_the_models_and_one_model_alone_is_named_too(path: Path) -> None:
    recipe = load_recipe(str(path)).quicker()
    assert [list(one.runs) for one in recipe.by_model()] == [NAMES[2:], NAMES[:2]]
    assert {one.name for one in recipe.by_model()} == {"sizes-quick"}
    one = load_recipe(str(path), [f"models=[{recipe.settings.models[1]}]"])
    assert [job.name for job in jobs_of(one)] == NAMES[:2]


def test_a_sweep_is_made_with_every_model(
    path: Path, wattune: Wattune, chat_model: Path, larger: Path
) -> None:
    ran = wattune("sweep", path, "decoding.max_tokens=2,3", "--no-progress")
    assert ran.code == 0, ran.err
    records = load_records(Path("runs/sizes-sweep"))
    models = {record.name: record.recipe["model"] for record in records}
    assert models == {
        f"{run}@{folder.name}+max_tokens={count}": str(folder)
        for run in ("zero-shot", "few-shot")
        for folder in (chat_model, larger)
        for count in (2, 3)
    }


def test_the_verbs_know_several_models(wattune: Wattune, path: Path) -> None:
    checked = wattune("validate", path)
    assert checked.code == 0, checked.err
    assert "models, smallest first: tiny-chat (" in checked.out
    assert "fine: 4 run(s)" in checked.out
    ran = wattune("compare", path, "--quick", "--no-progress")
    assert ran.code == 0, ran.err
    assert [name in ran.out for name in NAMES] == [True] * 4


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (
            "model: minilm\nmodels: [a/b]",
            'mine.yaml:3: give either "model: NAME" or "models: [NAME, NAME]", not both',
        ),
        ("models: []", 'mine.yaml:2: "models" takes a list of models, and this one is empty'),
        ("models: a/b", "mine.yaml:2: \"models\" takes a list, not 'a/b'"),
        ("models: [a/b, a/b]", 'mine.yaml:2: "models": a/b is given twice; each model once'),
        ("models: [a/b, 7]", 'mine.yaml:2: "models.1" takes a mapping of its keys, not 7'),
        ("modles: [a/b]", 'mine.yaml:2: unknown key "modles"; did you mean "models"?'),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, head: str, expected: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"task: harbour\n{head}\nruns: {{a: []}}\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    told = str(caught.value).replace(f"{tmp_path}/", "").split("\n")
    assert expected in told
    assert [line for line in told if line != expected] == (
        ['mine.yaml: "model" is missing'] if "modles" in head else []
    )


def test_a_recipe_of_one_model_is_as_before() -> None:
    given = {"task": "harbour", "model": "smollm2-135m-q4", "runs": {"a": []}}
    recipe: Recipe = parse_recipe(given, name="one")
    assert recipe.by_model() == [recipe]
    assert "models" not in recipe.of_run("a", 0)
