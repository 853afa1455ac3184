"""Rows of a set of frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from validation.rows import Row, at_least, at_most

NAN = float("nan")


def set_row(set_name: str, key: str, quantity: str, unit: str, ours: float, theirs: float | None, **more: Any) -> Row:
    """A figure of ours beside one of DIALS; NaN is an empty cell."""
    return Row(
        id=f"{set_name}-{key}",
        quantity=f"{set_name}: {quantity}",
        value=None if np.isnan(ours) else ours,
        unit=unit,
        peer="" if theirs is None else "DIALS",
        peer_value=None if theirs is None or np.isnan(theirs) else theirs,
        **more,
    )


def goal_of(value: float, limit: float | None, *, high: bool = False) -> dict[str, Any]:
    """``goal`` and ``met`` of a row; NaN misses every goal."""
    if limit is None:
        return {}
    text, met = at_least(value, limit) if high else at_most(value, limit)
    return {"goal": text, "met": met}


def goal_within(value: float, low: float, high: float, text: str) -> dict[str, Any]:
    """The same for a range."""
    return {"goal": text, "met": bool(low <= value <= high)}
