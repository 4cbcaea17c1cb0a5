"""Recipes: every fault is told at once, where it stands; what is right comes back equal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from wattune import RAG, FullFineTuning, LangChainRAG, LoRA, Prompt, TreeRAG
from wattune.errors import RecipeError
from wattune.files import shipped_folder
from wattune.recipe import Recipe, Settings, parse_recipe
from wattune.recipe_file import find_recipe, load_recipe
from wattune.strategies import STRATEGIES, Strategy

HEAD = "task: harbour\nmodel: smollm2-135m-q4\n"
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the text of a recipe under HEAD (or `head`); its path."""

    def to_file(text: str, head: str = HEAD) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(head + text, encoding="utf-8")
        return str(path)

    return to_file


def faults(where: str, *overrides: str) -> list[str]:
    """The lines of the error, without the folder."""
    with pytest.raises(RecipeError) as error:
        load_recipe(where, overrides)
    return str(error.value).replace(str(Path(where).parent) + "/", "").split("\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sed: 1\nruns: {a: []}", 'mine.yaml:3: unknown key "sed"; did you mean "seed"?'),
        (
            "decoding: {max_token: 3}\nruns: {a: []}",
            'mine.yaml:3: unknown key "decoding.max_token"; did you mean "max_tokens"?',
        ),
        (
            "lora:\n  rr: 8\nruns: {a: [lora]}",
            'mine.yaml:4: unknown key "lora.rr"; did you mean "r"?',
        ),
        (
            "tree_rag: {rag: {kk: 1}}\nruns: {a: [tree_rag]}",
            'mine.yaml:3: unknown key "tree_rag.rag.kk"; did you mean "k"?',
        ),
        (
            "runs:\n  a:\n    - rag\n    - {lora: {lora_alfa: 8}}",
            'mine.yaml:6: unknown key "lora.lora_alfa"; did you mean "lora_alpha"?',
        ),
        (
            "runs: {a: [lroa]}",
            'mine.yaml:3: unknown strategy "lroa"; did you mean "lora"?',
        ),
        ("runs: {a: []}\nseed: 1\nseed: 2", 'mine.yaml:5: "seed" is given twice'),
        ("runs: {a: []}\nrag: {k: 1,\n  k: 2}", 'mine.yaml:5: "k" is given twice'),
        (
            "lora: {r: many}\nruns: {a: [lora]}",
            'mine.yaml:3: "lora.r": input should be a valid integer, unable to parse string as '
            "an integer, not 'many'",
        ),
        (
            "rag: {k: 0}\nruns: {a: [rag]}",
            'mine.yaml:3: "rag.k": input should be greater than or equal to 1, not 0',
        ),
        ("lora: 5\nruns: {a: []}", 'mine.yaml:3: "lora" takes a mapping of its settings, not 5'),
        (
            "runs: {a: lora}",
            'mine.yaml:3: run "a" takes a list of strategies, such as [lora, tree_rag]',
        ),
        (
            "runs:\n  a: [{lora: {}, rag: {}}]",
            "mine.yaml:4: a strategy is a name or {name: {settings}}, not {'lora': {}, 'rag': {}}",
        ),
        (
            "runs: {a/b: []}",
            'mine.yaml:3: run name "a/b": up to 61 letters, digits, ".", "_", "+", "=", ",", "@" '
            'and "-" only',
        ),
        (
            "name: my recipe\nruns: {a: []}",
            'mine.yaml:3: name "my recipe": up to 61 letters, digits, ".", "_", "+", "=", ",", "@" '
            'and "-" only '
            "(set `name:`, else it is the file's)",
        ),
        (
            "runs: {a: []}\nstrategies: [rag]",
            'mine.yaml: give either "strategies: [...]" (one run) or "runs: {name: [...]}"',
        ),
        (
            "seed: 1",
            'mine.yaml: give either "strategies: [...]" (one run) or "runs: {name: [...]}"',
        ),
        (
            "runs: {a: []}\nprompt: {question: 'Q: {asked}'}",
            'mine.yaml:4: "prompt.question": prompt template: placeholder {asked} is not known '
            "here; plain {question} may stand (write {{ and }} for braces)",
        ),
        ("runs: {a: [}", "mine.yaml:3:12: broken YAML: expected the node content, but found '}'"),
        (
            "runs:\n\ta: []",
            "mine.yaml:4:1: broken YAML: found character '\\t' that cannot start any token",
        ),
        ("lora: &a {r: *a}", "mine.yaml: an alias (*name) stands inside what it names"),
    ],
)
def test_one_fault_is_one_line_with_its_place(write: Write, text: str, expected: str) -> None:
    assert faults(write(text)) == [expected]


def test_all_faults_are_told_at_once(write: Write) -> None:
    told = faults(write("sed: 1\nplace: 3\nlora: {rr: 1}\nruns:\n  a: [lroa]\n", head=""))
    assert [line.partition(": ")[0] for line in told] == [
        "mine.yaml:1", "mine.yaml", "mine.yaml", "mine.yaml:2", "mine.yaml:3", "mine.yaml:5"
    ]  # fmt: skip
    assert 'mine.yaml: "task" is missing' in told
    assert 'mine.yaml: "model" is missing' in told


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text\n"])
def test_a_file_that_is_no_mapping_is_refused(write: Write, text: str) -> None:
    (told,) = faults(write(text, head=""))
    assert told == "mine.yaml: a recipe is a mapping of keys (task, model, runs, ...)"


def test_the_branches_of_a_union_are_not_named(write: Write) -> None:
    told = faults(write("task: {sorce: x}\nmodel: m\nruns: {a: []}\n", head=""))
    assert 'mine.yaml:1: unknown key "task.sorce"; did you mean "source"?' in told
    assert not any("TaskSource" in line and "instance" not in line for line in told)


def test_overrides_win_over_the_file_and_make_what_is_missing(write: Write) -> None:
    where = write("seed: 1\nlora: {r: 4, learning_rate: 1e-4}\nruns: {a: [lora, {rag: {k: 5}}]}\n")
    recipe = load_recipe(where, ["seed=7", "lora.r=8", "decoding.max_tokens=5", "rag.k=2"])
    assert recipe.settings.seed == 7
    assert recipe.settings.decoding.max_tokens == 5
    # `1e-4` is text to YAML and a number to people.
    assert recipe.runs["a"] == (LoRA(r=8, learning_rate=1e-4), RAG(k=2))
    assert load_recipe(where, ["lora.learning_rate=3e-5"]).runs["a"][0] == LoRA(
        r=4, learning_rate=3e-5
    )
    assert load_recipe(where, ["runs={b: [prompt]}"]).runs == {"b": (Prompt(),)}


def test_a_run_wins_over_its_section_and_a_strategy_holds_another_as_its_section_says(
    write: Write,
) -> None:
    recipe = load_recipe(
        write(
            "rag: {k: 4, chunk_tokens: 50}\ntree_rag: {rag: {k: 1}}\n"
            "runs: {a: [rag], b: [{rag: {k: 5}}], c: [tree_rag], d: [{tree_rag: {rag: null}}]}\n"
        )
    )
    assert recipe.runs == {
        "a": (RAG(k=4, chunk_tokens=50),),
        "b": (RAG(k=5, chunk_tokens=50),),
        "c": (TreeRAG(rag=RAG(k=1, chunk_tokens=50)),),
        "d": (TreeRAG(rag=None),),
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lora.r", 'override "lora.r": write key=value, for example lora.r=8'),
        ("=8", 'override "=8": write key=value, for example lora.r=8'),
        ("lora.r=[", 'override "lora.r=[": the value is not YAML'),
        ("runs.a.r=8", 'override "runs.a.r=8": "a" holds no settings'),
        ("lora.rank=8", 'mine.yaml: unknown key "lora.rank"; known: '),
    ],
)
def test_a_wrong_override_is_told(write: Write, override: str, message: str) -> None:
    told = faults(write("runs: {a: [lora]}\n"), override)
    assert told[0].startswith(message)


def test_a_recipe_is_found_by_path_or_shipped_name(write: Write) -> None:
    assert find_recipe("quickstart") == shipped_folder() / "quickstart.yaml"
    assert find_recipe(write("")) == Path(write(""))
    with pytest.raises(RecipeError, match=r'no shipped recipe of that name; did you mean "quick'):
        find_recipe("quikstart")
    with pytest.raises(RecipeError, match="there is no such file"):
        find_recipe("nowhere/mine.yaml")


def test_a_task_is_looked_for_beside_the_recipe(write: Write, task_folder: Path) -> None:
    where = write("model: m\ntask: ferry\nruns: {a: []}\n", head="")
    assert load_recipe(where).settings.task == str(task_folder)
    where = write("model: m\ntask: {source: faq.csv}\nruns: {a: []}\n", head="")
    assert load_recipe(where).settings.task == Settings.model_validate(
        {"task": {"source": "faq.csv"}, "model": "m"}
    ).task  # fmt: skip


def test_strategies_is_one_run_under_the_name_of_the_recipe(write: Write) -> None:
    assert load_recipe(write("strategies: [lora, tree_rag]\n")).runs == {
        "mine": (LoRA(), TreeRAG())
    }
    assert list(load_recipe(write("name: other\nstrategies: []\n")).runs) == ["other"]


def test_the_quick_slice_has_a_name_and_a_limit_of_its_own(write: Write) -> None:
    recipe = load_recipe(write("quick: {questions: 5}\nlimit: {train: 9}\nruns: {a: []}\n"))
    quick = recipe.quicker()
    assert quick.name == "mine-quick"
    assert (quick.settings.limit.questions, quick.settings.limit.train) == (5, None)
    assert recipe.settings.limit.train == 9


@pytest.mark.parametrize("path", sorted(shipped_folder().glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_recipe_loads_and_opens_with_a_comment(path: Path) -> None:
    recipe = load_recipe(str(path))
    assert recipe.name == path.stem
    assert recipe.runs
    assert path.read_text(encoding="utf-8").startswith("# ")


CONFIGURATIONS: list[tuple[Strategy, ...]] = [
    *[
        (made.model_validate({"type": kind}),)
        for kind, made in STRATEGIES.items()
        if kind != "langchain_rag"
    ],
    (LangChainRAG(factory="stores:make@this_machine", fill=True),),
    (),
    (Prompt(shots=3, instruction="Say {refusal}", question="{{Q}} {question}"),),
    (RAG(k=7, chunk_tokens=64, overlap_tokens=0, embedder="org/name"),),
    (TreeRAG(max_words=20, rag=None), TreeRAG(rag=RAG(k=1))),
    (LoRA(r=8, target_modules=("q_proj", "v_proj"), learning_rate=3e-5), TreeRAG()),
    (FullFineTuning(learning_rate=1e-6, weight_decay=0.1, lr_scheduler_type="cosine"), RAG()),
]


@pytest.mark.parametrize("steps", CONFIGURATIONS, ids=lambda s: "+".join(x.type for x in s))
def test_every_configuration_comes_back_equal_from_yaml(steps: Any) -> None:
    settings = Settings(task="harbour", model="m", place="FRA", seed=3)
    recipe = Recipe(name="all", settings=settings, runs={"one": steps})
    again = parse_recipe(yaml.safe_load(yaml.safe_dump(recipe.of_run("one", 3))), name="unused")
    assert again == Recipe(name="one", settings=settings, runs={"one": steps})
