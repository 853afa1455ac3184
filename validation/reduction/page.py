"""The page docs/validation/reduction.md, from rows."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from validation.reduction.dials import version
from validation.reduction.study_rows import SERIES
from validation.rows import Row, sections, write_markdown

SECTIONS = (
    ("Ideal frames", "ideal-"),
    ("Hard frames", "hard-"),
    ("Weak frames", "weak-"),
    ("Distorted frames: brookite, a lens that is not the model", "distorted-"),
    ("Cinchonine, raw frames (XDS)", "cinchonine-"),
    ("Glycine, peaks of PETS2", "glycine-"),
    ("Quartz, spots of DIALS", "quartz-"),
    *((f"{name} of the study, {kind}, dynamical frames", f"{name}-") for name, kind in SERIES),
)

HEAD = """# Data reduction: validation

Made by `edtwin validate reduction --pages docs/validation` on {machine}, DIALS {dials} beside it; do not edit.
Parts that were made before with the same code are kept; beside other work on the machine CPU seconds are a little
longer, ours and those of DIALS alike.

Known truth: In2O3, 480 × 0.25° continuous rotation, 512 × 512, kinematical, Gaussian rocking curves and spots (not the
sphere that the reduction starts from). *Ideal*: 40 nm, geometry exact. *Hard*: 25 nm, ellipse 0.5 %, 0.05° jitter a
frame, centres jittered by 0.3 px and drifting by 3 px, ± 15 % scale, nominal axis 17° off. *Weak*: one fiftieth of the
counts of *ideal* on twice its background. Changes to the code were tried on frames of other seeds.
DIALS runs import, find_spots, index, refine and integrate with its defaults but `detector.fix=distance`, one process.
Integrated counts are compared with the electrons that came (ours: F² times what frames and rocking curve make of a
unit), and with what photon noise leaves to the best estimator: by the Fisher information of Poisson counts in the
pixels of each spot, mean of 50 draws. Orientations of *hard*: the same information of each frame about its turn,
centre and scale, with all else known and the jitter's distribution known beforehand; no estimator's median error lies
below it but by chance of the draw. Pulls are those of all reflections, none left out; the median of Poisson counts lies
below their mean by a sixth of the skewness, −0.05σ at ten counts, in any unbiased estimate. Speed: CPU time of one
process after a first short series, so that nothing is compiled in it; from the file (`frames.nxs`, checked against its
sums) to the results, and without reading it. An empty cell is a failure or a wrong lattice.

*Distorted*: 1.5 % ellipse; 1.5 % radial and −1 % turning distortion at 256 px about an optic axis that the direct beam
misses by 57 px (so that a parabolic term of about 1 % comes with it), laws of tan and sin², and 0.15 % three-fold: not
the harmonics that the reduction fits. Ratios are those of the orthorhombic refinement, angles those of a cell without
constraint with the distortions of that refinement held.
The study's series: dynamical frames of the twin with its instrument's errors (`edtwin simulate NAME`), reduced by
`edtwin reduce`; the particles of the twin are more perfect than those of the study.

Measured series: what others published stands beside; it is not the truth. XDS refined no ellipse.
"""


def write_page(path: Path, rows: Sequence[Row]) -> None:
    """Write the Markdown page."""
    head = HEAD.format(machine=platform.machine(), dials=version() or "(not installed)")
    write_markdown(path, [head, *sections(rows, SECTIONS), _missed(rows)])


def _missed(rows: Sequence[Row]) -> str:
    """Goals met and missed, in one list."""
    goals = [row for row in rows if row.met is not None]
    missed = [row for row in goals if not row.met]
    lines = [f"\n## Goals\n\n{len(goals) - len(missed)} of {len(goals)} goals met.\n"]
    for row in missed:
        value = "nothing" if row.value is None else f"{row.value:.4g} {row.unit}".strip()
        note = f" ({row.note})" if row.note else ""
        lines.append(f"- missed: {row.quantity}: {value}, goal {row.goal}{note}\n")
    return "".join(lines)
