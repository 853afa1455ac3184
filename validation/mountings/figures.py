"""Figures out of records, and the rows that hold them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from validation.mountings.record import Record
from validation.rows import Row, at_least, at_most

KINDS = {
    "averaged": ("kinematical", "averaged"),
    "non-averaged": ("kinematical", "non_averaged"),
    "frame-based": ("kinematical", "frame_based"),
    "dynamical": ("dynamical",),
}


def of_kind(record: Record, kind: str, key: str) -> float:
    """A number of one of the four refinements; NaN where it has none, so that no comparison holds."""
    value = record.get(*KINDS[kind], key)
    return float("nan") if value is None else float(value)


def values(records: Sequence[Record], *keys: str) -> list[float]:
    """The numbers that the records have."""
    found = [r.get(*keys) for r in records]
    return [float(v) for v in found if v is not None]


def pulls(records: Sequence[Record], *keys: str) -> list[float]:
    """Deviations over their s.u.s, of all parameters of all records."""
    blocks = [r.get(*keys, "parameters") or {} for r in records]
    return [float(p["deviation"]) / float(p["uncertainty"]) for block in blocks for p in block.values()]


def median_row(
    id: str, quantity: str, found: Sequence[float], unit: str, *, peer: float | None = None,
    most: float | None = None, inside: tuple[float, float] | None = None, note: str = "",
) -> Row:  # fmt: skip
    """Median with the range. most: goal for the median; inside: the band that it shall lie in."""
    value = float(np.median(found))
    goal, met = ("", None) if most is None else at_most(value, most)
    if inside is not None:
        goal, met = f"{inside[0]:g} to {inside[1]:g}", inside[0] <= value <= inside[1]
    ranges = f"{min(found):.4g} to {max(found):.4g}" if len(found) > 1 else ""
    return Row(
        id=id, quantity=f"{quantity}, median", value=value, unit=unit, peer="" if peer is None else "study",
        peer_value=peer, goal=goal, met=met, n=len(found), note="; ".join(text for text in (ranges, note) if text),
    )  # fmt: skip


def share_row(id: str, quantity: str, held: Sequence[bool], *, least: float | None = None, note: str = "") -> Row:
    """Share of those that hold, in percent."""
    value = 100.0 * float(np.mean(held))
    goal, met = ("", None) if least is None else at_least(value, least)
    return Row(id=id, quantity=quantity, value=value, unit="%", goal=goal, met=met, n=len(held), note=note)
