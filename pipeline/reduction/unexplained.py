"""Spots that lie on no point of the lattice: how many, and whether they form a lattice of their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pipeline.reduction.cell import find_cell
from pipeline.reduction.errors import ReductionError
from pipeline.reduction.geometry import Geometry
from pipeline.reduction.indexing import points_at_zero_tilt
from pipeline.reduction.peaks import select_peaks
from pipeline.types import Peaks

MANY = 0.1  # share of the spots that calls for a word
ENOUGH = 60  # spots in which a second lattice is looked for
OFF = 0.5  # of them beside nodes of the lattice itself, along the beam; chance gives some percent
LATERAL_PER_ANGSTROM = 0.006  # how far from a node such a spot may be across the beam
STAY_PX, STAYS = 2.5, 0.2  # a spot within this distance on this part of the frames does not turn with the crystal
SECOND = 0.6  # of them on a second lattice; chance gives an eighth


def unexplained_spots(*, peaks: Peaks, good: NDArray[np.bool_], geometry: Geometry, g_max_per_angstrom: float) -> str:
    """A sentence about spots up to ``g_max_per_angstrom`` that are not indexed; empty when they are few."""
    points = points_at_zero_tilt(peaks=peaks, geometry=geometry)
    length = np.linalg.norm(points, axis=1)
    inside = length < g_max_per_angstrom
    rest = inside & ~good
    stay = rest & always_there(peaks, rest, frames=len(geometry.alpha_deg))
    first = ""
    if np.any(stay):
        first = f"{np.count_nonzero(stay)} spots stay at their places on the detector: the beam's halo or its defects; "
        rest, inside = rest & ~stay, inside & ~stay
    number, every = int(np.count_nonzero(rest)), max(int(np.count_nonzero(inside)), 1)
    share = number / every
    if share < MANY:
        return f"{first}{number} of the other {every} are not indexed" if first else ""
    said = f"{first}warning: {number} of {every} spots ({100 * share:.0f} %) are not explained by the lattice"
    if number < ENOUGH:
        return f"{said}, too few to look for a second one"
    off = float(np.mean(_beside_the_sphere(points[rest], peaks.frame[rest], geometry)))
    if off > OFF:
        return (
            f"{first}{number} of {every} spots ({100 * share:.0f} %) are not indexed; {100 * off:.0f} % of them are "
            "reflections of the lattice further from the Ewald sphere than the fit looks"
        )
    left = select_peaks(peaks, rest)
    weight = np.minimum(left.intensity / left.sigma / 10.0, 1.0)
    try:
        second = find_cell(points=points[rest], weight=weight, g_limit=float(min(g_max_per_angstrom, 1.0)))
    except ReductionError:
        return f"{said} and form no lattice of their own"
    if second.indexed_fraction < SECOND:
        return f"{said} and form no lattice of their own (the best explains {100 * second.indexed_fraction:.0f} %)"
    volume = abs(float(np.linalg.det(second.direct)))
    own = 1.0 / abs(float(np.linalg.det(geometry.ub)))
    return (
        f"{said}; a lattice of {volume:.0f} Å³ (the first cell has {own:.0f}) explains "
        f"{100 * second.indexed_fraction:.0f} % of them: another crystal, or a larger cell"
    )


def always_there(peaks: Peaks, own: NDArray[np.bool_], *, frames: int) -> NDArray[np.bool_]:
    """Which of the spots ``own`` (n,) have others of them within STAY_PX on at least STAYS of the frames."""
    index = np.flatnonzero(own)
    at = np.stack([peaks.fast_px[index], peaks.slow_px[index]], axis=1)
    found = np.zeros(len(own), dtype=bool)
    if len(index):
        near = np.asarray(cKDTree(at).query_ball_point(at, STAY_PX, return_length=True))
        found[index] = near >= max(STAYS * frames, 5)
    return found


def _beside_the_sphere(points: NDArray[np.float64], frame: NDArray[np.int64], geometry: Geometry) -> NDArray[np.bool_]:
    """Which points (n, 3) at tilt 0 have a node of the lattice before or behind them, within one index, on their frame.

    Strong reflections show in the tails of their rocking curves, far from where the sphere cuts the node.
    """
    steps = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    nearest = np.rint(points @ np.linalg.inv(geometry.ub).T)
    found = np.zeros(len(points), dtype=bool)
    for step in steps:
        miss = points - (nearest + step) @ geometry.ub.T
        across = np.einsum("nij,nj->ni", geometry.rotation[frame][:, :2, :], miss)
        found |= np.linalg.norm(across, axis=1) < LATERAL_PER_ANGSTROM
    return found
