"""A LangChain chat model as a model. Its own client holds the key and sends the requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .completion import Completion
from .langchain_factory import made_by
from .remote import Passing, RemoteModel

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from ..endpoint_ref import EndpointRef
    from ..prompt import Message
    from ..system import Decoding

FIELDS = {
    "max_tokens": ("max_tokens", "max_output_tokens", "num_predict", "max_new_tokens"),
    "temperature": ("temperature",),
    "top_k": ("top_k",),
    "top_p": ("top_p",),
    "seed": ("seed",),
}
"""How chat models name the settings of decoding (LangChain's standard parameters, and the names
that its integrations of Google, Ollama and Hugging Face use, 2025). What a model has no field for
stays as its factory made it."""


def chat_model(factory: str) -> BaseChatModel:
    """What ``package.module:factory`` makes; raises `ModelError`, see `made_by`."""
    from langchain_core.language_models import BaseChatModel

    made: BaseChatModel = made_by(
        factory, BaseChatModel, "chat model", "langchain_core's BaseChatModel"
    )
    return made


class LangchainModel(RemoteModel):
    """The chat model that the factory of `ref.langchain` makes."""

    def __init__(self, ref: EndpointRef) -> None:
        self._model = chat_model(str(ref.langchain))
        super().__init__(ref)

    def _request(self, chat: list[Message], decoding: Decoding, seed: int) -> dict[str, Any]:
        settings = {**decoding.plain(), "seed": seed}
        known = type(self._model).model_fields
        changes = {
            name: settings[setting]
            for setting, names in FIELDS.items()
            if settings[setting] or setting != "top_k"
            for name in [next((name for name in names if name in known), None)]
            if name and (setting in ("max_tokens", "temperature") or decoding.temperature > 0)
        }
        # Without a change the very model: some count their calls.
        model = self._model.model_copy(update=changes) if changes else self._model
        return {"model": model, "messages": chat, "stop": list(decoding.stop) or None}

    async def _ask(self, request: dict[str, Any]) -> Completion:
        from langchain_core.messages import convert_to_messages

        messages = convert_to_messages([dict(message) for message in request["messages"]])
        try:
            reply = await request["model"].ainvoke(messages, stop=request["stop"])
        except Exception as error:  # each integration has errors of its own
            code = getattr(error, "status_code", None)
            if isinstance(code, int):
                raise self._fault(code) from None
            raise Passing(f"the chat model failed ({type(error).__name__})") from None
        usage = reply.usage_metadata or {}
        made = Completion()
        made.text = str(reply.text)
        made.tokens_in, made.tokens_out = usage.get("input_tokens"), usage.get("output_tokens")
        made.tokens_reused = usage.get("input_token_details", {}).get("cache_read", 0)
        return made

    async def _release(self) -> None:
        """Its client belongs to the chat model."""
