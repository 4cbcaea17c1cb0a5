"""The strategies: each one a step from System to System. `AnyStrategy` is the union of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .adapters import LoRA, PeftMethod
from .base import Context, Progress, Stage, Strategy
from .classical import Classical
from .from_scratch import FromScratch
from .full_fine_tuning import FullFineTuning
from .langchain_rag import LangChainRAG
from .long_context import LongContext
from .merge import Merge
from .pretraining import ContinuedPretraining
from .prompt import Prompt
from .prompt_search import PromptSearch
from .prune import Prune
from .quantize import Quantize
from .rag import RAG
from .self_consistency import SelfConsistency
from .summary_tree import SummaryTree
from .swap_passages import SwapPassages
from .tree_rag import TreeRAG

AnyStrategy = Annotated[
    Prompt
    | PromptSearch
    | LongContext
    | SelfConsistency
    | RAG
    | TreeRAG
    | SummaryTree
    | LangChainRAG
    | SwapPassages
    | LoRA
    | PeftMethod
    | FullFineTuning
    | ContinuedPretraining
    | FromScratch
    | Merge
    | Classical
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
    "summary_tree": SummaryTree,
    "langchain_rag": LangChainRAG,
    "swap_passages": SwapPassages,
    "lora": LoRA,
    "peft": PeftMethod,
    "full_fine_tuning": FullFineTuning,
    "continued_pretraining": ContinuedPretraining,
    "from_scratch": FromScratch,
    "merge": Merge,
    "classical": Classical,
    "quantize": Quantize,
    "prune": Prune,
}
"""By the name a recipe uses."""

__all__ = [
    "RAG",
    "STRATEGIES",
    "AnyStrategy",
    "Classical",
    "Context",
    "ContinuedPretraining",
    "FromScratch",
    "FullFineTuning",
    "LangChainRAG",
    "LoRA",
    "LongContext",
    "Merge",
    "PeftMethod",
    "Progress",
    "Prompt",
    "PromptSearch",
    "Prune",
    "Quantize",
    "SelfConsistency",
    "Stage",
    "Strategy",
    "SummaryTree",
    "SwapPassages",
    "TreeRAG",
]
