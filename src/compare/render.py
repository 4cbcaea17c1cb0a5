"""A comparison on paper: for the terminal by rich, and as Markdown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .figures import STAR

if TYPE_CHECKING:
    from rich.console import Console

    from .table import Comparison, Table

PIPE_WIDTH = 100
"""Characters of a line where there is no terminal to ask, and COLUMNS does not say."""
PADDING = 3
"""Characters between two columns as rich draws them."""


def show(comparison: Comparison) -> None:
    """Print the tables and their notes, as wide as the terminal; a pipe gets 100 characters, or
    COLUMNS."""
    from rich.markup import escape

    console = show_tables(comparison.tables())
    for note in comparison.notes():
        console.print(escape(note), style="dim", highlight=False)


def show_tables(tables: Sequence[Table]) -> Console:
    """Print tables, cut where they are wider than the terminal; the console they went to."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as RichTable

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=PIPE_WIDTH)
    for table in (part for whole in tables for part in fitting(whole, console.width)):
        drawn = RichTable(
            title=table.title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold"
        )
        for number, header in enumerate(table.headers):
            left = number == 0 or table.words
            drawn.add_column(
                header,
                justify="left" if left else "right",
                no_wrap=number == 0 or not table.words,
                overflow="fold" if table.words else "ellipsis",
            )
        spanned: list[str] = []
        for row in table.rows:
            if len(row) == len(table.headers):
                drawn.add_row(*map(_cell, row))
            else:  # a skipped run: its reason would tear a column apart
                drawn.add_row(escape(row[0]), escape(row[1].partition(":")[0]))
                spanned.append(f"{row[0]} {row[1]}")
        console.print(drawn)
        for line in spanned:
            console.print(escape(line), highlight=False)
    return console


def _cell(text: str) -> str:
    from rich.markup import escape

    return f"[bold]{escape(text)}[/bold]" if text.startswith(STAR) else escape(text)


def fitting(table: Table, width: int) -> list[Table]:
    """The table, cut into several of at most `width` characters where it is wider."""
    if table.words:
        return [table]
    whole = [row for row in table.rows if len(row) == len(table.headers)]
    if not whole:  # nothing but reasons, so there is nothing to cut
        return [replace(table, headers=table.headers[:1])]
    cells = list(zip(*whole, strict=True))
    needed = [
        max(len(line) for text in (header, *column) for line in text.split("\n")) + PADDING
        for header, column in zip(table.headers, cells, strict=True)
    ]
    # One more than between columns at the right edge; none left where names are very long.
    room = max(0, width - 1 - needed[0])
    parts = _parted(needed, room)
    if len(parts) < 2:
        return [table]
    # As narrow as that many parts can be, so that no column is left to stand alone.
    parts = next(p for less in range(room + 1) if len(p := _parted(needed, less)) <= len(parts))
    return [
        replace(
            table,
            title=table.title if part is parts[0] else f"{table.title}, continued",
            headers=tuple(table.headers[n] for n in (0, *part)),
            rows=tuple(
                # A skipped run's row is only its reason; it stands in the first part.
                tuple(row[n] for n in (0, *part)) if len(row) == len(table.headers) else row
                for row in table.rows
                if len(row) == len(table.headers) or part is parts[0]
            ),
        )
        for part in parts
    ]


def _parted(needed: Sequence[int], room: int) -> list[list[int]]:
    """The numbers of the columns but the first, parted so that each part has at most `room`
    characters, or a single column."""
    parts: list[list[int]] = []
    left = 0
    for number, width in enumerate(needed[1:], start=1):
        if not parts or width > left:
            parts.append([])
            left = room
        parts[-1].append(number)
        left -= width
    return parts


def markdown(comparison: Comparison) -> str:
    """The tables as Markdown, pipes escaped."""
    return markdown_tables(comparison.tables(), comparison.notes())


def markdown_tables(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Tables with the sentences under them as Markdown, pipes escaped."""
    parts = [_markdown_table(table) for table in tables]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def _markdown_table(table: Table) -> str:
    width = len(table.headers)
    lines = [f"**{table.title}**", ""]
    lines.append(_line([header.replace("\n", " ") for header in table.headers]))
    lines.append(_line(["---", *["---:"] * (width - 1)]))
    lines += [_line([*row, *[""] * (width - len(row))]) for row in table.rows]
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
