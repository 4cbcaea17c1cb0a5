"""A System is a value: it survives JSON, and its identity does not know where weights lie."""

from __future__ import annotations

import json

from wattune.context_sources import IndexSource, ShotsSource, TreeSource
from wattune.prompt import PromptTemplate, Shot
from wattune.stages import StageRef
from wattune.system import Decoding, LocalSystem, ModelRef, parse_system


def system(name: str = "/here/model") -> LocalSystem:
    return LocalSystem(
        model=ModelRef(name=name, revision="abc"),
        weights=StageRef(key="w"),
        adapters=(StageRef(key="a1"), StageRef(key="a2")),
        prompt=PromptTemplate(instruction="Say {refusal}"),
        refusal="no",
        sources=(
            ShotsSource(shots=(Shot(id="1", question="q", answer="a"),)),
            IndexSource(stage=StageRef(key="i"), embedder="minilm", k=3),
            TreeSource(stage=StageRef(key="t"), max_words=40),
        ),
        decoding=Decoding(max_tokens=8, stop=("\n", "###")),
    )


def test_it_comes_back_from_json_equal_with_its_digest() -> None:
    again = LocalSystem.model_validate(json.loads(json.dumps(system().plain())))
    assert again == system()
    assert again.digest() == system().digest()


def test_identity_ignores_the_path_and_nothing_else() -> None:
    assert system("/here/model").identity() == system("/there/model").identity()
    moved = {"model": ModelRef(name="/here/model", revision="other")}
    for change in (moved, {"refusal": "none"}, {"adapters": ()}, {"decoding": Decoding()}):
        assert system().model_copy(update=change).identity() != system().identity()


def test_weights_are_shared_by_systems_that_differ_in_prompt_only() -> None:
    prompted = system().model_copy(update={"prompt": PromptTemplate(), "sources": ()})
    assert prompted.weights_key() == system().weights_key() == ("w", "a1", "a2")
    bare = system().model_copy(update={"weights": None, "adapters": ()})
    assert bare.weights_key() == ("abc",)


def test_sources_join_in_order_and_shots_are_found_among_them() -> None:
    more = system().with_source(ShotsSource(shots=(Shot(id="2", question="p", answer="b"),)))
    assert [source.type for source in more.sources] == ["shots", "index", "tree", "shots"]
    assert [shot.id for shot in more.shots] == ["1", "2"]


def test_a_system_from_before_there_were_fences_has_none() -> None:
    plain = system().plain()
    assert parse_system(plain).prompt.fence == "tags"
    del plain["prompt"]["fence"]
    assert parse_system(plain).prompt.fence == "none"
