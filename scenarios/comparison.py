"""``edtwin compare``: two CIFs, atom by atom."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table


def comparison_table(reference: Path, other: Path) -> Table:
    """Distances in Å after origin, setting and hand are matched."""
    raise NotImplementedError
