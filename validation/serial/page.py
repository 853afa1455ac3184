"""The page docs/validation/serial.md, from rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from validation.rows import Row, sections, write_markdown

SECTIONS = (
    ("Row ITO-03 of Table 2 (812 stills)", "study-"),
    ("Beside a precession series of the same particle", "precession-"),
    ("Weaker exposures", "exposure-"),
    ("Particles that turn during the exposure", "motion-"),
    ("Orientations made worse before the refinements on frames (standard deviation about each axis)", "loosened-"),
)

HEAD = """# Serial series: validation

Made by `edtwin validate serial --pages docs/validation`; do not edit. The command goes on where it was stopped. Every
figure is one of runs of the scenario `ito-03` (10 nm In₂O₃:Sn spheres in random orientations, 0.5 s and 190 e/Å² a
still, 5 nm of carbon) with the keys changed that the heading names. The whole series are two, with the seeds 1001 and
1002 of `mountings.md`: a value is their mean, both stand in the note, and each has to reach the goal. All else is one
short series with the scenario's own seed. The reduction gets the cell and the Laue class m-3; it finds the centring,
the camera length (1 % off) and the ellipse (0.5 %) itself. The lattice has rotations that the Laue class lacks, so that
spots leave each still two orientations; intensities choose. A cubic cell and the camera length cannot be told apart:
the cell is taken as given.

What the study has and the twin has not: particles of different size and shape, several in the beam, and a motion whose
size nobody measured. R values below the study's are to be read with that.
"""


def write_page(path: Path, rows: Sequence[Row]) -> None:
    """Write the Markdown page; it says which sections have no rows yet."""
    missing = [title for title, begin in SECTIONS if not any(row.id.startswith(begin) for row in rows)]
    note = [f"\n**This edition has no rows on: {'; '.join(missing)}.**\n"] if missing else []
    write_markdown(path, [HEAD, *note, *sections(rows, SECTIONS)])
