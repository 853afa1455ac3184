"""All rows of `edtwin validate refinement`."""

from __future__ import annotations

from pathlib import Path

from threadpoolctl import threadpool_limits

from twin.files.errors import InputError
from validation.mountings.page import known_records
from validation.mountings.tables import mounting_rows
from validation.realdata import data_folder
from validation.refinement.agreement import UREA, VARIANTS, agreement_rows
from validation.refinement.cases import CASES
from validation.refinement.kept import kept_rows, read_kept
from validation.refinement.measured import case_rows, data_rows
from validation.refinement.page import write_page
from validation.refinement.raw import CINCHONINE, FRAMES, raw_rows
from validation.refinement.speed import CASES as SPEED_CASES
from validation.refinement.speed import frame_rows
from validation.refinement.speed_whole import EPOCHS, EVERY, convergence_rows
from validation.rows import Row, write_rows


def run_refinement(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """Write ``out``/refinement.json and the page after every case anew; returns the rows.

    Cases that are done are kept in ``out``/refinement-kept and not done again, the most wanted come first; mountings
    are those of ``edtwin validate mountings`` with the same ``out``, or one or two made here. ``quick``: every sixth
    frame (every tenth of urea beside Dyngo).
    """
    folder = data_folder()
    if not folder.is_dir():
        raise InputError("edtwin validate refinement needs measured data: name their folder by EDTWIN_REALDATA")
    kept = out / "refinement-kept"
    rows = data_rows(folder)

    def done(more: list[Row]) -> None:
        rows.extend(more)
        write_rows(out / "refinement.json", rows)
        if page is not None:
            write_page(page, rows, read_kept(kept), quick=quick)

    with threadpool_limits(1):
        for case in CASES:
            done(case_rows(case, folder, quick=quick, kept=kept))
        if not quick:
            recipe = f"{FRAMES} {CINCHONINE!r}"
            done(kept_rows(kept, "cinchonine", recipe=recipe, make=lambda: raw_rows(folder, out / "refinement-raw")))
        recipe = f"{UREA!r} {VARIANTS!r} quick {quick}"
        done(kept_rows(kept, "urea-dyngo", recipe=recipe, make=lambda: agreement_rows(folder, quick=quick)))
        done(_speed(out, folder, kept, quick=quick))
    done(mounting_rows(known_records(out, quick=quick)))
    return rows


def _speed(out: Path, folder: Path, kept: Path, *, quick: bool) -> list[Row]:
    """Beside diffBloch: frames, and (not ``quick``) a whole refinement."""
    repeats = 1 if quick else 3
    rows = kept_rows(
        kept,
        "speed-frames",
        recipe=f"slopes and all derivatives, {SPEED_CASES!r} repeats {repeats}",
        make=lambda: frame_rows(out / "refinement-speed", repeats=repeats),
    )
    if quick:
        return rows
    return rows + kept_rows(
        kept,
        "speed-convergence",
        recipe=f"slopes, every {EVERY}, {EPOCHS} epochs, both thicknesses, without the start of a process",
        make=lambda: convergence_rows(folder, out / "refinement-speed"),
    )
