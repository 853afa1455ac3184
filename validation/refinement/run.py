"""All rows of `edtwin validate refinement`."""

from __future__ import annotations

from pathlib import Path

from threadpoolctl import threadpool_limits

from twin.files.errors import InputError
from validation.mountings.page import known_records
from validation.mountings.tables import mounting_rows
from validation.realdata import data_folder
from validation.refinement.agreement import UREA, agreement_rows
from validation.refinement.kept import kept_rows
from validation.refinement.measured import CASES, case_rows, hand_rows
from validation.refinement.page import write_page
from validation.refinement.speed import CASES as SPEED_CASES
from validation.refinement.speed import EPOCHS, EVERY, convergence_row, frame_rows
from validation.rows import Row, write_rows


def run_refinement(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """Write ``out``/refinement.json, after every case anew, and the page; returns the rows.

    Cases that are done are kept in ``out``/refinement-kept and not done again; mountings are those of ``edtwin validate
    mountings`` with the same ``out``, or one or two made here. ``quick``: every sixth frame (every
    tenth of urea).
    """
    folder = data_folder()
    if not folder.is_dir():
        raise InputError("edtwin validate refinement needs measured data: name their folder by EDTWIN_REALDATA")
    kept = out / "refinement-kept"
    with threadpool_limits(1):
        rows = kept_rows(
            kept, "urea-dyngo", recipe=f"{UREA!r} quick {quick}", make=lambda: agreement_rows(folder, quick=quick)
        )
        for case in CASES:
            rows += case_rows(case, folder, quick=quick, kept=kept)
            write_rows(out / "refinement.json", rows)
        rows += hand_rows(folder, quick=quick, kept=kept)
        write_rows(out / "refinement.json", rows)
        repeats = 1 if quick else 3
        rows += kept_rows(
            kept,
            "speed-frames",
            recipe=f"{SPEED_CASES!r} repeats {repeats}",
            make=lambda: frame_rows(out / "refinement-speed", repeats=repeats),
        )
        if not quick:
            rows += kept_rows(
                kept,
                "speed-convergence",
                recipe=f"every {EVERY}, {EPOCHS} epochs",
                make=lambda: convergence_row(folder, out / "refinement-speed"),
            )
    rows += mounting_rows(known_records(out, quick=quick))
    write_rows(out / "refinement.json", rows)
    if page is not None:
        write_page(page, rows, quick=quick)
    return rows
