"""Evidence: published findings, each with its source; the table stands in tables/evidence.yaml."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ..errors import InputError
from ..measure.accounts.yaml_table import validated
from ..values import Value
from ..yaml_lines import read_mapping

TABLE = Path(__file__).parent / "tables" / "evidence.yaml"


class Evidence(Value):
    """One published finding: what was found on which models, who found it, the paper's number at
    arXiv, and whether it was read in a citation only."""

    finding: str
    source: str
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{5}$")] | None = None
    second_hand: bool = False

    def sentence(self) -> str:
        """The finding with its source."""
        number = f", arXiv {self.arxiv}" if self.arxiv else ""
        hand = "; second-hand" if self.second_hand else ""
        return f"{self.finding} ({self.source}{number}{hand})"


@functools.cache
def evidence() -> Mapping[str, Evidence]:
    """The findings by their names."""
    content, _ = read_mapping(TABLE, InputError)
    return {name: validated(Evidence, row, f"evidence.yaml, {name}") for name, row in
            content.items()}  # fmt: skip
