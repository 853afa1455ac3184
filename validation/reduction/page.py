"""The page docs/validation/reduction.md, from rows."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from validation.reduction.dials import version
from validation.rows import Row, markdown_table

SECTIONS = (
    ("Ideal frames", "ideal-"),
    ("Hard frames", "hard-"),
    ("Weak frames", "weak-"),
    ("Distorted frames: brookite, 1 to 1.5 % of four distortions", "distorted-"),
    ("ITO-01 of the study, dynamical frames", "ito-01-"),
    ("Anatase of the study, dynamical frames", "anatase-"),
    ("Brookite IIT of the study, dynamical frames, 6 e/Å² in all", "brookite-iit-"),
    ("Cinchonine, raw frames (XDS)", "cinchonine-"),
    ("Glycine, peaks of PETS2", "glycine-"),
    ("Quartz, spots of DIALS", "quartz-"),
)

HEAD = """# Data reduction: validation

Made by `edtwin validate reduction --pages docs/validation` on {machine}, DIALS {dials} beside it; do not edit.

Known truth: In2O3, 480 × 0.25° continuous rotation, 512 × 512, kinematical, Gaussian rocking curves and spots (not the
sphere that the reduction fits). *Ideal*: 40 nm, geometry exact. *Hard*: 25 nm, ellipse 0.5 %, 0.05° jitter a frame,
centres jittered by 0.3 px and drifting by 3 px, ± 15 % scale, nominal axis 17° off. *Weak*: one fiftieth of the
counts of *ideal* on twice its background.
DIALS runs import, find_spots, index, refine and integrate with its defaults but `detector.fix=distance`, one process.
Integrated counts are compared with the electrons that came (ours: F² times what frames and rocking curve make of a
unit), and with what photon noise leaves to the best estimator. Pulls: the median of Poisson counts lies below their
mean by a sixth of the skewness, −0.05σ at ten counts, in any unbiased estimate. Speed: CPU time of one process after
a first short series, so that nothing is compiled in it. An empty cell is a failure or a wrong lattice.

*Distorted*: ellipse 1.5 %, parabolic 1 %, barrel 1.5 %, spiral −1 % at 256 px. Ratios are those of the orthorhombic
refinement, angles those of a cell without constraint with the distortions of that refinement held.
The study's series: dynamical frames of the twin with its instrument's errors (`edtwin simulate NAME`), reduced by
`edtwin reduce`; the particles of the twin are more perfect than those of the study.

Measured series: what others published stands beside; it is not the truth. XDS refined no ellipse.
"""


def write_page(path: Path, rows: Sequence[Row]) -> None:
    """Write the Markdown page."""
    parts = [HEAD.format(machine=platform.machine(), dials=version() or "(not installed)")]
    for title, prefix in SECTIONS:
        chosen = [row for row in rows if row.id.startswith(prefix)]
        if chosen:
            parts.append(f"\n## {title}\n\n{markdown_table(chosen)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(parts), encoding="utf-8")
