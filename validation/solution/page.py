"""The page docs/validation/solution.md, from rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from validation.rows import Row, markdown_table

SECTIONS = (
    ("Four materials under eleven conditions", "study-"),
    ("Material by material", "pair-"),
    ("Beside cctbx, which is given the space group", "cctbx-"),
    ("Other groups: chiral, polar, monoclinic, trigonal", "group-"),
    ("Measured intensities", "measured-"),
)

HEAD = """# Structure solution: validation

Made by `edtwin validate solution --pages docs/validation`; do not edit. Input is a merged list, the cell, the Laue
class and the composition; the space group is found. Simulated data are kinematical and spoilt as the condition says
(`validation/solution/conditions.py`). Clean, compressed and resolution conditions have the same data for every seed:
only the starts of the solver differ. Seeds are 100 and above; the limits of the verdict were chosen with seeds 0 to 3.

What *solved* asks of the best model: R ≤ 35 %, at most 25 % of the phased map unexplained, at least 90 % of the atoms
come back when they are left out in turn (not asked when R < 5 % and the difference map is flat), the
highest peak of the difference map is below 0.35 of the lowest atom, no
other group and no other choice of elements explains the data as well. *Ambiguous* passes all but the last. Anything
else is *not solved*; the best model is kept, with the reason.

Known gaps. PbTiO3 (P4mm) with 20 % noise was called solved with Pb and Ti mixed on both positions: a false accept on
elements. LiNbO3 is found but may be called ambiguous with R-3c, or not solved, because the atoms that stay when the
oxygen is left out are nearly centrosymmetric. Albite (13 atoms, P-1) did not end within 100 s. The Laue class is taken
from the merged list. Of the four realisations here, those without noise or a cone differ in the solver's starts alone.
"""


def write_page(path: Path, rows: Sequence[Row]) -> None:
    """Write the Markdown page."""
    parts = [HEAD]
    for title, prefix in SECTIONS:
        chosen = [row for row in rows if row.id.startswith(prefix)]
        if chosen:
            parts.append(f"\n## {title}\n\n{markdown_table(chosen)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(parts), encoding="utf-8")
