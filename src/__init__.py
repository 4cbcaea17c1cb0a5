"""Prompting, RAG, tree RAG, LoRA or full fine-tuning: which to use, and what it costs.

    import wattune as wt

    task = wt.load_task("harbour")
    base = wt.load_system("smollm2-135m-q4", refusal=task.refusal)
    meter = wt.Meter(place="FRA")
    records = [wt.run(steps, task, base, meter=meter) for steps in ([], [wt.RAG(k=2)])]
    wt.compare(records).show()

Importing this loads no torch; what is heavy is imported where it is used.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

# `ask`, `run` and `compare` are rooms as well as verbs. Bound here, after their modules are loaded,
# the names mean the verbs for good: Python sets a submodule's name on its package only once.
from .advice import Needs, advise
from .ask import ask
from .compare import Comparison, compare
from .compare.usage import Usage
from .loading import load_system
from .measure.export import to_frame
from .measure.meter import Meter
from .measure.record import Record
from .measure.store import load_records
from .recipe_file import load_recipe
from .retrieval import as_retriever
from .run import run
from .strategies import (
    RAG,
    Classical,
    ContinuedPretraining,
    FromScratch,
    FullFineTuning,
    LangChainRAG,
    LongContext,
    LoRA,
    Merge,
    PeftMethod,
    Prompt,
    PromptSearch,
    Prune,
    Quantize,
    SelfConsistency,
    SummaryTree,
    SwapPassages,
    TreeRAG,
)
from .tasks.load import load_task

try:
    __version__ = version("wattune")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "RAG",
    "Classical",
    "Comparison",
    "ContinuedPretraining",
    "FromScratch",
    "FullFineTuning",
    "LangChainRAG",
    "LoRA",
    "LongContext",
    "Merge",
    "Meter",
    "Needs",
    "PeftMethod",
    "Prompt",
    "PromptSearch",
    "Prune",
    "Quantize",
    "Record",
    "SelfConsistency",
    "SummaryTree",
    "SwapPassages",
    "TreeRAG",
    "Usage",
    "advise",
    "as_retriever",
    "ask",
    "compare",
    "load_recipe",
    "load_records",
    "load_system",
    "load_task",
    "run",
    "to_frame",
]
