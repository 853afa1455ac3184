"""Miller indices for spots: first from three dimensions, then by the nearest prediction on the frame."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.reduction.geometry import Geometry, from_pixels, to_pixels
from pipeline.reduction.predict import Sweep, near_spheres
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
    nearer to the middle of the sweep wins.
    """
    hkl_all = lattice_points(ub=geometry.ub, centring=centring, g_max_per_angstrom=g_max_per_angstrom)
    row, frame, g, s, half = near_spheres(
        g_zero=hkl_all @ geometry.ub.T,
        rotation=geometry.rotation,
        sweep=sweep,
        margin_per_angstrom=width_per_angstrom,
    )
    order = np.argsort(peaks.frame, kind="stable")
    frames = np.arange(len(geometry.alpha_deg) + 1)
    nearest = _nearest_predicted(
        np.column_stack([peaks.fast_px, peaks.slow_px])[order],
        np.searchsorted(peaks.frame[order], frames),
        to_pixels(geometry, g[:, :2], frame),
        np.abs(s) / (half + width_per_angstrom),
        np.searchsorted(frame, frames),
        tolerance_px,
    )
    best = np.empty_like(nearest)
    best[order] = nearest
    good = best >= 0
    hkl = np.zeros((len(peaks.frame), 3), dtype=np.int64)
    hkl[good] = hkl_all[row[best[good]]]
    return hkl, good


@njit(cache=True)
def _nearest_predicted(spots, first_spot, predicted, off, first_predicted, tolerance):  # type: ignore[no-untyped-def]
    """For each spot the prediction of its frame of least (distance / tolerance)² + off² within the tolerance, or −1.

    spots, predicted: (n, 2) px in the order of their frames, which begin at ``first_...``.
    """
    best = np.full(spots.shape[0], -1, dtype=np.int64)
    reach2 = tolerance * tolerance
    for f in range(first_spot.shape[0] - 1):
        for n in range(first_spot[f], first_spot[f + 1]):
            lowest = np.inf
            for m in range(first_predicted[f], first_predicted[f + 1]):
                dx = spots[n, 0] - predicted[m, 0]
                dy = spots[n, 1] - predicted[m, 1]
                d2 = dx * dx + dy * dy
                if d2 < reach2:
                    cost = d2 / reach2 + off[m] * off[m]
                    if cost < lowest:
                        lowest, best[n] = cost, m
    return best
