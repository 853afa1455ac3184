"""Figures of merit of merged data: R_int, CC½, completeness and redundancy, by shell.

R_int = Σ |I − ⟨I⟩| / Σ I over reflections with at least two equivalents, as Jana and SHELXL define it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.frame_average import FrameMerged
from pipeline.reduction.indexing import lattice_points
from pipeline.reduction.observations import unique_hkl
from twin.physics.symmetry import asymmetric_hkl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def r_int(*, hkl: Ints, intensity: Floats, sigma: Floats, hall: str, cut: float = 0.0) -> tuple[float, int]:
    """R_int in percent over groups with two or more members and mean I > cut·σ, and how many reflections went in."""
    return r_int_of_groups(
        group=unique_hkl(asymmetric_hkl(hkl, hall, friedel=True))[1], intensity=intensity, sigma=sigma, cut=cut
    )


def r_int_of_groups(*, group: Ints, intensity: Floats, sigma: Floats, cut: float = 0.0) -> tuple[float, int]:
    """The same with the number of each reflection's group of equivalents (n,)."""
    number = np.bincount(group)
    mean = np.bincount(group, weights=intensity) / number
    noise = np.sqrt(np.bincount(group, weights=sigma**2)) / number
    use = (number[group] > 1) & (mean[group] > cut * noise[group])
    if not np.any(use):
        return float("nan"), 0
    total = float(np.sum(intensity[use]))
    value = 100.0 * float(np.sum(np.abs(intensity - mean[group])[use])) / max(total, 1e-12)
    return value, int(np.count_nonzero(use))


def cc_half(*, hkl: Ints, intensity: Floats, hall: str) -> float:
    """CC½ in percent: correlation between averages of two random halves of the equivalents, without drawing them.

    From variances (Assmann, Brehm & Diederichs, J. Appl. Cryst. 49 (2016) 1021): with σ_y² that of the averages and
    σ_e² / 2 the mean variance of an average, CC½ = (σ_y² − σ_e²/2) / (σ_y² + σ_e²/2). Groups of two or more.
    """
    _, group = unique_hkl(asymmetric_hkl(hkl, hall, friedel=True))
    number = np.bincount(group)
    mean = np.bincount(group, weights=intensity) / number
    scatter = np.bincount(group, weights=(intensity - mean[group]) ** 2)
    use = number > 1
    if np.count_nonzero(use) < 3:
        return float("nan")
    error = float(np.mean(scatter[use] / (number[use] - 1) / number[use]))
    total = float(np.var(mean[use], ddof=1))
    return 100.0 * (total - error) / max(total + error, 1e-300)


def unique_count(*, hall: str, centring: str, ub: Floats, g_max_per_angstrom: float) -> int:
    """Unique reflections of the Laue class and centring up to g_max (Friedel mates are one)."""
    hkl = lattice_points(ub=ub, centring=centring, g_max_per_angstrom=g_max_per_angstrom)
    return len(unique_hkl(asymmetric_hkl(hkl, hall, friedel=True))[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """One resolution shell of merged data."""

    g_low_per_angstrom: float
    g_high_per_angstrom: float
    reflections: int
    completeness_percent: float
    redundancy: float
    r_int_percent: float
    mean_i_over_sigma: float
    cc_half_percent: float


def shells(
    *, frames: FrameMerged, hall: str, centring: str, ub: Floats, g_max_per_angstrom: float, number: int = 10
) -> tuple[Shell, ...]:
    """Statistics in shells of equal reciprocal volume."""
    edges = g_max_per_angstrom * (np.arange(number + 1) / number) ** (1 / 3)
    g = np.linalg.norm(asymmetric_hkl(frames.hkl, hall, friedel=True) @ ub.T, axis=1)
    every = lattice_points(ub=ub, centring=centring, g_max_per_angstrom=g_max_per_angstrom)
    unique = np.unique(asymmetric_hkl(every, hall, friedel=True), axis=0)
    g_unique = np.linalg.norm(unique @ ub.T, axis=1)
    rows = []
    for low, high in pairwise(edges.tolist()):
        own = (g > low) & (g <= high)
        possible = int(np.count_nonzero((g_unique > low) & (g_unique <= high)))
        measured = len(np.unique(asymmetric_hkl(frames.hkl[own], hall, friedel=True), axis=0)) if np.any(own) else 0
        value = (
            r_int(hkl=frames.hkl[own], intensity=frames.intensity[own], sigma=frames.sigma[own], hall=hall)[0]
            if np.any(own)
            else float("nan")
        )
        rows.append(
            Shell(
                g_low_per_angstrom=float(low),
                g_high_per_angstrom=float(high),
                reflections=measured,
                completeness_percent=100.0 * measured / max(possible, 1),
                redundancy=float(np.count_nonzero(own)) / max(measured, 1),
                r_int_percent=value,
                mean_i_over_sigma=float(np.mean(frames.intensity[own] / frames.sigma[own])) if np.any(own) else 0.0,
                cc_half_percent=cc_half(hkl=frames.hkl[own], intensity=frames.intensity[own], hall=hall)
                if np.any(own)
                else float("nan"),
            )
        )
    return tuple(rows)
