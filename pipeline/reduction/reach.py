"""How far from the Ewald sphere spots still show: what a bent or mosaic crystal needs, found in the spots themselves.

A fixed margin loses the tails of wide rocking curves (a third of the strong spots of a mosaic crystal), a large one
offers wrong nodes to stray spots. So the margin follows the share of the predicted reflections that have a spot, as a
function of the distance beyond the sweep: it ends where that share has fallen to what chance gives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pipeline.reduction.geometry import Geometry, to_pixels
from pipeline.reduction.indexing import lattice_points
from pipeline.reduction.predict import Sweep, near_sphere
from pipeline.types import Peaks

Floats = NDArray[np.float64]

BIN = 0.003  # Å⁻¹, of the distance beyond the sweep
WIDEST = 0.048
CHANCE_FROM = 0.036  # beyond this only chance is left
LEFT = 0.04  # share of the innermost bins below which a curve has ended


def shown_share(
    *, peaks: Peaks, geometry: Geometry, sweep: Sweep, centring: str, g_max_per_angstrom: float, tolerance_px: float
) -> tuple[Floats, Floats]:
    """Share of the predicted reflections with a spot within ``tolerance_px``, by distance beyond the sweep in steps of
    BIN, and how many were predicted; each (WIDEST / BIN,). Each spot is given to the node nearest to the sweep."""
    hkl = lattice_points(ub=geometry.ub, centring=centring, g_max_per_angstrom=g_max_per_angstrom)
    g_zero = hkl @ geometry.ub.T
    bins = round(WIDEST / BIN)
    predicted, shown = np.zeros(bins), np.zeros(bins)
    rotation = geometry.rotation
    for f in np.unique(peaks.frame):
        own = np.flatnonzero(peaks.frame == f)
        near, g, s, half = near_sphere(g_zero=g_zero, rotation=rotation[f], sweep=sweep, margin_per_angstrom=WIDEST)
        if len(near) == 0:
            continue
        which = np.minimum((np.maximum(np.abs(s) - half, 0.0) / BIN).astype(np.int64), bins - 1)
        predicted += np.bincount(which, minlength=bins)
        spots = np.stack([peaks.fast_px[own], peaks.slow_px[own]], axis=1)
        for candidates in cKDTree(to_pixels(geometry, g[:, :2], int(f))).query_ball_point(spots, tolerance_px):
            if candidates:
                shown[int(which[candidates].min())] += 1.0
    return shown / np.maximum(predicted, 1.0), predicted


def rocking_reach(
    *,
    peaks: Peaks,
    geometry: Geometry,
    sweep: Sweep,
    centring: str,
    g_max_per_angstrom: float,
    tolerance_px: float,
    least_per_angstrom: float,
) -> float:
    """Distance beyond the sweep (Å⁻¹) in which spots are to be looked for, at least ``least_per_angstrom``."""
    share, predicted = shown_share(
        peaks=peaks,
        geometry=geometry,
        sweep=sweep,
        centring=centring,
        g_max_per_angstrom=g_max_per_angstrom,
        tolerance_px=tolerance_px,
    )
    far = round(CHANCE_FROM / BIN)
    chance = float(np.sum(share[far:] * predicted[far:]) / max(float(np.sum(predicted[far:])), 1.0))
    real = share - chance
    noise = 3.0 * np.sqrt(np.maximum(share, 1.0 / np.maximum(predicted, 1.0)) / np.maximum(predicted, 1.0))
    ended = real < np.maximum(LEFT * float(np.max(real[:2])), noise)
    last = int(np.argmax(ended)) if np.any(ended) else far
    return float(max(BIN * min(last, far), least_per_angstrom))
