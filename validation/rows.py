"""A figure that an issue asks for, as a row; tables of rows as JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from twin.files.atomic import write_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. ``goal`` is a sentence such as '>= 50'; ``met`` is None where there is nothing to meet.

    value, peer_value: numbers in ``unit``; n: how many repeats, reflections or frames stand behind it.
    """

    id: str
    quantity: str
    value: float | None
    unit: str
    peer: str = ""
    peer_value: float | None = None
    goal: str = ""
    met: bool | None = None
    n: int = 1
    note: str = ""


def at_least(value: float, goal: float) -> tuple[str, bool]:
    """Goal text and whether it is met."""
    return f">= {goal:g}", value >= goal


def at_most(value: float, goal: float) -> tuple[str, bool]:
    """Goal text and whether it is met."""
    return f"<= {goal:g}", value <= goal


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """JSON list of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def markdown_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = "quantity | value | unit | peer | peer's value | goal | met | n | note"
    lines = [f"| {head} |", "|" + "---|" * (head.count("|") + 1)]
    for r in rows:
        met = "" if r.met is None else ("yes" if r.met else "**no**")
        cells = (
            r.quantity,
            _number(r.value),
            r.unit,
            r.peer,
            _number(r.peer_value),
            r.goal.replace(">=", "≥").replace("<=", "≤"),
            met,
            str(r.n),
            r.note,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def sections(
    rows: Sequence[Row], titles: Sequence[tuple[str, str | tuple[str, ...]]], *, behind: Mapping[str, str] | None = None
) -> list[str]:
    """A table under each of the ``titles`` that has rows, chosen by how their ids begin; ``behind``: text after the
    section of a title."""
    found = []
    for title, begins in titles:
        chosen = [row for row in rows if row.id.startswith(begins)]
        if chosen:
            found.append(f"\n## {title}\n\n{markdown_table(chosen)}{(behind or {}).get(title, '')}")
    return found


def write_markdown(path: Path, parts: Sequence[str]) -> None:
    """A page of these parts, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(parts))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
