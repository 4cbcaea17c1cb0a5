"""Any LangChain chat model as the model of a System: fakes of langchain_core and one of our own."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from wattune.endpoint_ref import EndpointRef
from wattune.errors import ModelError
from wattune.loading import load_system
from wattune.models import pace
from wattune.models.langchain_chat import LangchainModel
from wattune.run import run
from wattune.system import Decoding

Make = Callable[..., LangchainModel]
CHAT: list[Any] = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Where?"}]
USAGE: Any = {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15,
              "input_token_details": {"cache_read": 4}}  # fmt: skip


class Careful(BaseChatModel):
    """Knows some settings of decoding; fails as it is told."""

    temperature: float = 1.0
    num_predict: int = 128
    calls: list[dict[str, Any]] = []
    faults: list[Exception] = []

    @property
    def _llm_type(self) -> str:
        return "careful"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.calls.append(
            {"stop": stop, "max": self.num_predict, "temperature": self.temperature, **kwargs}
        )
        if self.faults:
            raise self.faults.pop(0)
        said = AIMessage(" jetty 1\nand more", usage_metadata=USAGE)
        return ChatResult(generations=[ChatGeneration(message=said)])


class Unauthorised(Exception):
    """As the clients of providers raise it."""

    status_code = 401


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], str]:
    """Puts a factory where a recipe can name it."""
    monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.001)

    def put(make: Callable[[], Any]) -> str:
        module = types.ModuleType("chat_factories")
        module.make = make  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "chat_factories", module)
        return "chat_factories:make"

    return put


@pytest.fixture
def opened(factory: Callable[[Callable[[], Any]], str]) -> Iterator[Make]:
    """Opens what a factory makes."""
    models: list[LangchainModel] = []

    def make(model: Any, **settings: Any) -> LangchainModel:
        ref = EndpointRef(langchain=factory(lambda: model), **settings)
        models.append(LangchainModel(ref))
        return models[-1]

    yield make
    for one in models:
        one.close()


def test_a_shipped_fake_answers_in_order_without_token_counts(opened: Make) -> None:
    fake = FakeMessagesListChatModel(responses=[AIMessage("one"), AIMessage("two")])
    made = opened(fake, concurrency=1).generate([CHAT, CHAT], Decoding(max_tokens=4, stop=()))
    assert [(m.text, m.tokens_in, m.tokens_out) for m in made] == [
        ("one", None, None),
        ("two", None, None),
    ]


def test_decoding_reaches_the_fields_it_has_and_tokens_come_from_its_usage(opened: Make) -> None:
    model = Careful()
    (made,) = opened(model).generate(
        [CHAT], Decoding(max_tokens=7, temperature=0.5, stop=("\n",)), seed=3
    )
    assert (made.text, made.tokens_in, made.tokens_out, made.tokens_reused) == ("jetty 1", 12, 3, 4)
    assert model.calls == [{"stop": ["\n"], "max": 7, "temperature": 0.5}]
    assert model.temperature == 1.0  # the user's own object is left alone


def test_failures_are_tried_again_and_a_refused_key_ends_the_run(opened: Make) -> None:
    model = Careful(faults=[ValueError("sk-secret"), TimeoutError()])
    client = opened(model)
    assert client.generate([CHAT], Decoding(max_tokens=4, stop=()))[0].text.startswith("jetty 1")
    assert client.account.counts["the chat model failed (ValueError)"] == 1
    assert client.account.counts["retries"] == 2
    model.faults.append(Unauthorised("sk-secret"))
    with pytest.raises(ModelError, match=r"the key is not accepted \(HTTP 401\)") as caught:
        client.generate([CHAT], Decoding(max_tokens=4, stop=()))
    assert "sk-secret" not in f"{caught.value} {client.account.counts}"


def test_a_run_with_one_makes_a_record(
    tmp_path: Path, ferry: Any, factory: Callable[[Callable[[], Any]], str]
) -> None:
    ref = EndpointRef(
        langchain=factory(Careful),
        energy={"wh_per_1000_tokens_in": 1, "wh_per_1000_tokens_out": 2},
    )
    system = load_system(ref, refusal=ferry.refusal)
    record = run([], ferry, system, realtime_questions=0, runs=tmp_path)
    assert record.status == "done"
    assert record.work["answer"].tokens_in == 12 * 12
    part = record.phases["answer"].components["endpoint"]
    assert part.energy_j == pytest.approx(12 * (12 * 1 + 3 * 2) * 3.6)
    assert "no range is known" in part.detail


def failing() -> Any:
    """As a factory does whose key is wrong."""
    raise ValueError("sk-secret")


@pytest.mark.parametrize(
    ("make", "words"),
    [(failing, r"failed \(ValueError\)"), (dict, "made an object of type dict")],
)
def test_a_factory_that_makes_no_chat_model_is_told(
    factory: Callable[[Callable[[], Any]], str], make: Callable[[], Any], words: str
) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        LangchainModel(EndpointRef(langchain=factory(make)))
    assert "sk-secret" not in str(caught.value)
    with pytest.raises(ModelError, match="cannot be imported"):
        LangchainModel(EndpointRef(langchain="no_such_module:make"))
