"""A lattice found in measured frames beside a published cell: ratios and angles, optics, the gap between the chips.

Lengths of a cell share a scale that the frames do not tell, so ratios and angles are compared; their uncertainties come
from parts of the series left out (wedges.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.reduction.chip_gap import measured_gap
from pipeline.reduction.lattice import Indexed
from pipeline.reduction.series import sweep_of
from validation.reduction.real_sources import Spots
from validation.reduction.wedges import Lattice, shape_of_cell
from validation.rows import Row

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NAMES, UNITS = ("a/b", "c/b", "α", "β", "γ"), ("", "", "°", "°", "°")


def same_lattice(ub: Floats, other: Floats) -> tuple[Ints, float]:
    """N with other ≈ turn · ub · N for the smallest turn, and that turn in degrees. Both primitive, same volume ± 10 %.

    Candidates for N come from rounding; the turn is what the polar decomposition leaves.
    """
    n = np.rint(np.linalg.solve(ub, other)).astype(np.int64)
    if abs(round(float(np.linalg.det(n)))) != 1:
        return n, float("nan")
    u, _, vt = np.linalg.svd(other @ np.linalg.inv(ub @ n))
    return n, float(np.degrees(Rotation.from_matrix(u @ vt).magnitude()))


def cell_rows(
    key: str, lattice: Lattice, n: Ints, wanted: tuple[float, ...], peer: str, *, free: tuple[int, ...]
) -> list[Row]:
    """Ratios and angles (``free``: numbers of those that the symmetry leaves free) beside the published ones."""
    published = (wanted[0] / wanted[1], wanted[2] / wanted[1], *wanted[3:])
    rows = []
    for optics, tail, name in ((True, "", ""), (False, "-plain", ", optics taken as perfect")):
        shape = shape_of_cell(lattice, transform=np.linalg.inv(n), optics=optics)
        rows += [
            Row(
                id=f"{key}-cell-{NAMES[k]}{tail}",
                quantity=f"cell, {NAMES[k]}{name}",
                value=float(shape.values[k]),
                unit=UNITS[k],
                peer=peer,
                peer_value=published[k],
                n=int(np.count_nonzero(lattice.good)),
                note=f"± {shape.sd[k]:.4f}",
            )
            for k in free
        ]
        rows.append(Row(id=f"{key}-rms{tail}", quantity=f"residual of positions{name}", value=shape.rms_px, unit="px"))
        if optics:
            e, sd = shape.ellipse_percent, shape.ellipse_sd_percent
            rows.append(
                Row(
                    id=f"{key}-ellipse",
                    quantity="ellipse",
                    value=float(np.hypot(*e)),
                    unit="%",
                    note=f"along the fast axis {e[0]:.3f} ± {sd[0]:.3f}, at 45° {e[1]:.3f} ± {sd[1]:.3f}",
                )
            )
    b = float(np.linalg.norm(np.linalg.inv(lattice.geometry.ub @ np.linalg.inv(n))[1]))
    rows.append(
        Row(
            id=f"{key}-cell-scale",
            quantity="cell, b",
            value=b,
            unit="Å",
            peer=peer,
            peer_value=wanted[1],
            note=f"ratio {b / wanted[1]:.4f}",
        )
    )
    return rows


def gap_row(key: str, spots: Spots, found: Indexed, truth: str) -> list[Row]:
    """What the spots say about pixels that are missing between the halves of the detector."""
    sweep = sweep_of(spots.dataset, found.geometry.microscope.projection.tilt_axis_deg)
    _, slow, fast = spots.dataset.counts.shape
    gap = measured_gap(
        peaks=spots.peaks,
        hkl=np.where(found.good[:, None], found.hkl, 0),
        geometry=found.geometry,
        hall=found.symmetry.hall,
        sweep=sweep,
        size_px=(fast, slow),
    )
    if gap is None:
        return []
    said = f"± {gap.sd_px:.3f}; {truth}; residual {gap.rms_px:.3f} px, {gap.rms_with_px:.3f} px with a whole number"
    quantity = "pixels missing between the chips, from the spots"
    return [Row(id=f"{key}-gap", quantity=quantity, value=gap.gap_px, unit="px", note=said)]
