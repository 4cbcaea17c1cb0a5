"""A hierarchy in a table of parent links: one row an entity, or one for each of its people."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import did_you_mean
from .faults import Faults
from .hierarchy import MAX_DEPTH, Entity, Role, same, several_roots
from .tables import read_csv_rows

NEEDED = ("name", "parent")
SEPARATOR = ";"
"""Between the aliases of one cell."""
HINTED = 2_000
"""Names among which a near one is looked for; it would take long among more."""


@dataclass
class _Row:
    """An entity as its rows give it."""

    name: str
    line: int
    parent: str = ""
    level: str = ""
    aliases: str = ""
    roles: list[Role] = field(default_factory=list)
    below: list[_Row] = field(default_factory=list)


def read_links(path: Path, faults: Faults) -> Entity | None:
    """The tree of a ``.csv`` or ``.tsv`` file with a header; faults are noted.

    Columns: ``name``, ``parent`` (the name of another row; the root has none), and where there are
    any ``level``, ``aliases`` (``;`` between them), ``role`` and ``person``. An entity with several
    people has a row for each: further rows repeat the name, and leave the other cells empty or
    repeat them. Other columns are passed over. The order of the rows is that of the members.
    Raises `TaskError` where the file is missing, has no header or is not CSV.
    """
    rows: dict[str, _Row] = {}
    before = len(faults)
    for place, cells in read_csv_rows(path, faults, header_such_as="name,parent"):
        missing = [name for name in NEEDED if name not in cells]
        for name in missing:
            faults.add(
                f'{path}: no column "{name}"{did_you_mean(name, cells)}; a hierarchy has the '
                "columns name and parent, and where needed level, aliases, role, person"
            )
        if missing:
            return None
        _read(place, {key: " ".join(value.split()) for key, value in cells.items()}, rows, faults)
    if not rows:
        if len(faults) == before:
            faults.add(f"{path}: no row under the header; write one for each entity")
        return None
    roots = _link(path, rows, faults)
    tops = [(row.name, row.line) for row in roots]
    if len(tops) > 1:
        how = "add a row for the whole, without a parent, and make it the parent of these"
        faults.add(several_roots(path, tops, how))
    if len(faults) > before:
        return None
    return _entity(roots[0])


def _read(place: str, cells: dict[str, str], rows: dict[str, _Row], faults: Faults) -> None:
    """Take one row, as a new entity or as one more person of an entity."""
    name, role, person = cells["name"], cells.get("role", ""), cells.get("person", "")
    if not name:
        faults.add(f"{place}: no name; every row names its entity")
        return
    parent, level, aliases = (cells.get(key, "") for key in ("parent", "level", "aliases"))
    row = rows.get(same(name))
    if row is None:
        line = int(place.rpartition(":")[2])
        row = rows[same(name)] = _Row(name, line, parent, level, aliases)
    elif not person:
        faults.add(
            f'{place}: the name "{name}" is already given on line {row.line}; every entity needs a '
            "name of its own (a further row of one entity gives one more role and person)"
        )
        return
    else:
        for key, value in (("parent", parent), ("level", level), ("aliases", aliases)):
            if value and same(value) != same(getattr(row, key)):
                faults.add(
                    f'{place}: {key} of "{name}" is "{value}" here and "{getattr(row, key)}" on '
                    f"line {row.line}; say it once"
                )
    if role and person:
        row.roles.append(Role(role=role, person=person))
    elif role or person:
        faults.add(f"{place}: role and person go together; one of them is empty")


def _link(path: Path, rows: dict[str, _Row], faults: Faults) -> list[_Row]:
    """Hang every row under its parent; those without one. Orphans and cycles are noted."""
    roots: list[_Row] = []
    for row in rows.values():
        parent = rows.get(same(row.parent))
        if parent is not None:
            parent.below.append(row)
        elif not row.parent:
            roots.append(row)
        else:
            near = ""
            if len(rows) <= HINTED:
                near = did_you_mean(row.parent, (one.name for one in rows.values()))
            faults.add(
                f'{path}:{row.line}: the parent "{row.parent}" of "{row.name}" is no name of the '
                f"table{near if 'did you mean' in near else '; add a row for it'}"
            )
    done: set[int] = set()
    for row in rows.values():
        chain: dict[int, _Row] = {}
        at: _Row | None = row
        while at is not None and at.line not in done and at.line not in chain:
            chain[at.line] = at
            at = rows.get(same(at.parent))
        if at is not None and at.line in chain:
            ring = [*chain.values()][[*chain].index(at.line) :]
            told = " › ".join(f"{one.name} (line {one.line})" for one in (*ring[:8], at))
            faults.add(
                f"{path}:{at.line}: a circle of parents: {told}; "
                "give one of them another parent, or none"
            )
        done.update(chain)
    waiting = [(root, 1) for root in roots]
    while waiting:
        row, depth = waiting.pop()
        if depth > MAX_DEPTH:
            faults.add(f"{path}:{row.line}: more than {MAX_DEPTH} levels; flatten the hierarchy")
            break
        waiting += [(one, depth + 1) for one in row.below]
    return roots


def _entity(row: _Row) -> Entity:
    aliases = (" ".join(alias.split()) for alias in row.aliases.split(SEPARATOR))
    return Entity(
        name=row.name,
        level=row.level,
        aliases=tuple(alias for alias in aliases if alias),
        roles=tuple(row.roles),
        children=tuple(_entity(one) for one in row.below),
    )
