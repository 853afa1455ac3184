"""A figure that an issue asks for, as a row; tables of rows as JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


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
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


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


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
