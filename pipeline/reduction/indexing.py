"""Miller indices for spots: first from three dimensions, then by the nearest prediction on the frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pipeline.reduction.geometry import Geometry, from_pixels, to_pixels
from pipeline.reduction.predict import Sweep, near_sphere
from pipeline.types import Peaks
from twin.physics.lattice import miller_indices

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def centring_allows(hkl: Ints, centring: str) -> Bools:
    """Lattice absences of P, A, B, C, I, F, R (obverse)."""
    h, k, l = (hkl[:, i] for i in range(3))  # noqa: E741
    rules = {
        "P": np.ones(len(hkl), dtype=bool),
        "A": (k + l) % 2 == 0,
        "B": (h + l) % 2 == 0,
        "C": (h + k) % 2 == 0,
        "I": (h + k + l) % 2 == 0,
        "F": ((h + k) % 2 == 0) & ((k + l) % 2 == 0),
        "R": (-h + k + l) % 3 == 0,
    }
    return np.asarray(rules[centring])


def lattice_points(*, ub: Floats, centring: str, g_max_per_angstrom: float) -> Ints:
    """All hkl that the centring allows up to g_max, without 000."""
    hkl = miller_indices(reciprocal=ub, g_max_per_angstrom=g_max_per_angstrom)
    return np.asarray(hkl[centring_allows(hkl, centring) & np.any(hkl != 0, axis=1)])


def points_at_zero_tilt(*, peaks: Peaks, geometry: Geometry) -> Floats:
    """Spots on the Ewald sphere of the mean beam, turned back to tilt 0; (n, 3) in Å⁻¹."""
    pixels = np.stack([peaks.fast_px, peaks.slow_px], axis=1)
    g = from_pixels(geometry, pixels, peaks.frame)
    return np.asarray(np.einsum("nji,nj->ni", geometry.rotation[peaks.frame], g))


def index_in_space(*, points: Floats, ub: Floats, tolerance: float = 0.3) -> tuple[Ints, Bools]:
    """Nearest hkl (n, 3) and whether each index is within the tolerance."""
    h = points @ np.linalg.inv(ub).T
    nearest = np.rint(h)
    good = np.all(np.abs(h - nearest) < tolerance, axis=1) & np.any(nearest != 0, axis=1)
    return nearest.astype(np.int64), good


def index_on_frames(
    *,
    peaks: Peaks,
    geometry: Geometry,
    sweep: Sweep,
    centring: str,
    g_max_per_angstrom: float,
    width_per_angstrom: float,
    tolerance_px: float,
) -> tuple[Ints, Bools]:
    """Nearest predicted reflection of each spot, where one lies within ``tolerance_px``.

    Reflections up to ``width_per_angstrom`` outside the sweep are candidates; of two that land on one spot the one
    nearer to the middle of
    the sweep wins.
    """
    hkl_all = lattice_points(ub=geometry.ub, centring=centring, g_max_per_angstrom=g_max_per_angstrom)
    g_zero = hkl_all @ geometry.ub.T
    hkl = np.zeros((len(peaks.frame), 3), dtype=np.int64)
    good = np.zeros(len(peaks.frame), dtype=bool)
    rotation = geometry.rotation
    for f in np.unique(peaks.frame):
        own = np.flatnonzero(peaks.frame == f)
        near, g, s, half = near_sphere(
            g_zero=g_zero, rotation=rotation[f], sweep=sweep, margin_per_angstrom=width_per_angstrom
        )
        if len(near) == 0:
            continue
        xy = to_pixels(geometry, g[:, :2], int(f))
        spots = np.stack([peaks.fast_px[own], peaks.slow_px[own]], axis=1)
        found = cKDTree(xy).query(spots, k=min(3, len(near)))
        distance, which = (np.asarray(column).reshape(len(spots), -1) for column in found)
        off = np.abs(s)[which] / (half[which] + width_per_angstrom)
        cost = np.where(distance < tolerance_px, (distance / tolerance_px) ** 2 + off**2, np.inf)
        best = np.argmin(cost, axis=1)
        rows = np.arange(len(own))
        good[own] = np.isfinite(cost[rows, best])
        hkl[own] = hkl_all[near[which[rows, best]]]
    return hkl, good
