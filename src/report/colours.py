"""One colour and one mark a run, the same in every chart and table of a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..compare.frontier import parted
from ..compare.seeds import Row

LIGHT = ("#0060b8", "#d25909", "#00855f", "#b04a95", "#744f00", "#3a8fc9", "#535a61", "#8a1538")
DARK = ("#4d9fec", "#f67c37", "#1fc596", "#e39ac6", "#e8d060", "#a8dcff", "#7f8794", "#ff5d74")
"""Hues after Okabe and Ito, "Color Universal Design", 2008 (blue, vermilion, bluish green, reddish
purple, ochre for yellow, sky blue, grey for black, and crimson), moved until each stands out from
its paper by 3 to 1, as WCAG 2.2 (1.4.11) asks of graphics, and any two lie 15 or more apart (CIE76)
for normal, protan and deutan eyes (Machado and others, IEEE TVCG 15(6), 2009)."""
LIGHT_PAPER, DARK_PAPER = "#ffffff", "#14171c"
LIGHT_INK, DARK_INK = "#1b1f24", "#e7e9ec"
MARKS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right",
         "triangle-left")  # fmt: skip
"""Names of Vega's point shapes: colour is never the only thing that tells two runs apart."""

Theme = Literal["page", "file"]


@dataclass(frozen=True)
class Colours:
    """The number of the colour of each label; `page` colours follow the reader's dark or light,
    those of a `file` are for white paper."""

    numbers: Mapping[str, int]
    theme: Theme = "page"

    def of(self, label: str) -> str:
        """The colour of a label as CSS and SVG write it."""
        number = self.numbers.get(label, 0)
        return f"var(--run-{number})" if self.theme == "page" else LIGHT[number]

    def range(self, labels: Iterable[str]) -> list[str]:
        """The colours of labels, in their order."""
        return [self.of(label) for label in labels]

    def marks(self, labels: Iterable[str]) -> list[str]:
        """Their point shapes."""
        return [MARKS[self.numbers.get(label, 0)] for label in labels]

    @property
    def ink(self) -> str:
        """The colour of text and axes."""
        return "currentColor" if self.theme == "page" else LIGHT_INK

    @property
    def paper(self) -> str:
        """The colour behind a chart."""
        return "var(--paper)" if self.theme == "page" else LIGHT_PAPER


def numbers_of(rows: Sequence[Row]) -> dict[str, int]:
    """The number of the colour of each row's label, in the order of the rows; settings of one run
    (``rag+k=1``, ``rag+k=2``) share theirs. From the ninth run on colours come again."""
    runs = list(dict.fromkeys(parted(row.records[0].name)[0] for row in rows))
    return {row.label: runs.index(parted(row.records[0].name)[0]) % len(LIGHT) for row in rows}
