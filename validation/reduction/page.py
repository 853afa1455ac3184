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
Our intensities are averaged over the frames on the scale of F²; those of DIALS are counts without correction; each is
compared with its own truth and with what photon noise leaves to the best estimator. An empty cell is a failure or
a wrong lattice.

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
