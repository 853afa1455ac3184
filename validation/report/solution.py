"""What the structure solution saw: groups with their scores, the starts, the peaks of its density."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.solution.peaks import distances, find_peaks, orbit_of
from pipeline.types import Solution
from twin.physics.lattice import direct_matrix
from twin.physics.symmetry import operations
from validation.report.tables import ABSENT, ReportTable, TableRow, number

MOST_CANDIDATES, MOST_STARTS, MOST_PEAKS = 8, 16, 12
NEAR_ANGSTROM = 0.6


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> ReportTable | None:
    return ReportTable(head=head, rows=tuple(TableRow(cells=row) for row in rows)) if rows else None


def candidate_table(solution: Solution | None) -> ReportTable | None:
    """Space groups, best first: mean cosine of the phase differences of the worst operation, and its φ (0 perfect)."""
    if solution is None:
        return None
    phi = solution.phi or (float("nan"),) * len(solution.candidates)
    rows = [(name, number(score, 3), number(p, 3)) for (name, score), p in zip(solution.candidates, phi, strict=False)]
    return _table(("group", "agreement", "φ"), rows[:MOST_CANDIDATES])


def start_table(solution: Solution | None) -> ReportTable | None:
    """Residual of the phasing of each random start, and R of the best model built on it."""
    if solution is None:
        return None
    rows = [
        (str(k), number(100 * residual, 1), number(100 * r, 1) if r < 1.0 else ABSENT)
        for k, (residual, r) in enumerate(solution.starts[:MOST_STARTS], start=1)
    ]
    return _table(("start", "residual / %", "best R / %"), rows)


def peak_table(solution: Solution | None) -> ReportTable | None:
    """Highest peaks of the density in standard deviations, and the atom that stands there."""
    if solution is None or solution.crystal is None or solution.density is None or np.ptp(solution.density) == 0:
        return None
    crystal = solution.crystal
    ops, direct = operations(crystal.hall), direct_matrix(crystal.cell)
    rho = (solution.density - solution.density.mean()) / solution.density.std()
    count = min(MOST_PEAKS, len({s.fract for s in crystal.sites}) + 4)
    peaks = find_peaks(rho, basis=np.eye(3), ops=ops, direct=direct, wanted=count)
    rows = []
    for k, (x, height, multiplicity) in enumerate(zip(peaks.fract, peaks.height, peaks.multiplicity, strict=True)):
        images = orbit_of(x, ops)
        apart = [float(distances(np.array(s.fract), images, direct).min()) for s in crystal.sites]
        nearest = int(np.argmin(apart))
        near = apart[nearest] < NEAR_ANGSTROM
        labels = "/".join(s.label for s, d in zip(crystal.sites, apart, strict=True) if abs(d - apart[nearest]) < 1e-6)
        rows.append((f"Q{k + 1}", number(float(height), 1), str(int(multiplicity)), *(number(float(v), 4) for v in x),
                     labels if near else ABSENT, number(apart[nearest], 3) if near else ABSENT))  # fmt: skip
    return _table(("peak", "height / σ", "mult.", "x", "y", "z", "atom", "distance / Å"), rows)
