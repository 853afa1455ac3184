"""Integrated spots of all frames before merging, as one table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.predict import Sweep, excitation, exposure_average

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observations:
    """hkl (n, 3), frame (n,), intensity and sigma in counts (n,), position in px (n,)."""

    hkl: Ints
    frame: Ints
    intensity: Floats
    sigma: Floats
    fast_px: Floats
    slow_px: Floats


def take(o: Observations, keep: NDArray[np.generic]) -> Observations:
    """Subset by mask or index."""
    return Observations(
        hkl=o.hkl[keep],
        frame=o.frame[keep],
        intensity=o.intensity[keep],
        sigma=o.sigma[keep],
        fast_px=o.fast_px[keep],
        slow_px=o.slow_px[keep],
    )


def partialities(
    *, observations: Observations, rotation: Floats, ub: Floats, sweep: Sweep, diameter_angstrom: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean of the relrod over the exposure (Å), s, half of the sweep, and g in the laboratory (n, 3)."""
    g = np.einsum("nij,nj->ni", rotation[observations.frame], observations.hkl @ ub.T)
    s, half = excitation(g_lab=g, sweep=sweep)
    p = exposure_average(s=s, half_sweep=half, diameter_angstrom=diameter_angstrom, mode=sweep.mode)
    return p, s, half, g
