"""All rows of `edtwin validate engines`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from threadpoolctl import threadpool_limits

from validation.engines.agreement import peer_rows, truncation_rows
from validation.engines.limits import limit_rows
from validation.engines.multislice import multislice_rows
from validation.engines.page import write_page
from validation.engines.scaling import scaling_rows, worker_rows
from validation.engines.timing import speed_rows
from validation.rows import Row, write_rows


def run_engines(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """Write ``out``/engines.json (and the page with its figure); returns the rows."""
    figure = None if page is None else page.parent / "engines_growth.png"
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
        folder = Path(name)
        parts: tuple[Callable[[], list[Row]], ...] = (
            limit_rows,
            lambda: peer_rows(folder),
            lambda: truncation_rows(quick=quick),
            lambda: speed_rows(folder, quick=quick),
            lambda: scaling_rows(figure, quick=quick),
            lambda: multislice_rows(folder, quick=quick),
            lambda: worker_rows(frames=20 if quick else 60),
        )
        rows = [row for part in parts for row in part()]
    write_rows(out / "engines.json", rows)
    if page is not None:
        write_page(page, rows, figure=figure is not None)
    return rows
