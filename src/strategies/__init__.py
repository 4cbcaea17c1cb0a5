"""The strategies: each one a step from System to System. `AnyStrategy` is the union of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Context, Progress, Stage, Strategy
from .long_context import LongContext
from .prompt import Prompt
from .prompt_search import PromptSearch
from .prune import Prune
from .quantize import Quantize
from .rag import RAG
from .self_consistency import SelfConsistency
from .tree_rag import TreeRAG
from .tuning import FullFineTuning, LoRA

AnyStrategy = Annotated[
    Prompt
    | PromptSearch
    | LongContext
    | SelfConsistency
    | RAG
    | TreeRAG
    | LoRA
    | FullFineTuning
    | Quantize
    | Prune,
    Field(discriminator="type"),
]

STRATEGIES: dict[str, type[Strategy]] = {
    "prompt": Prompt,
    "prompt_search": PromptSearch,
    "long_context": LongContext,
    "self_consistency": SelfConsistency,
    "rag": RAG,
    "tree_rag": TreeRAG,
    "lora": LoRA,
    "full_fine_tuning": FullFineTuning,
    "quantize": Quantize,
    "prune": Prune,
}
"""By the name a recipe uses."""

__all__ = [
    "RAG",
    "STRATEGIES",
    "AnyStrategy",
    "Context",
    "FullFineTuning",
    "LoRA",
    "LongContext",
    "Progress",
    "Prompt",
    "PromptSearch",
    "Prune",
    "Quantize",
    "SelfConsistency",
    "Stage",
    "Strategy",
    "TreeRAG",
]
