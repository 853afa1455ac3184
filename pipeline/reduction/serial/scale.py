"""Camera length and ellipse from the spots of all frames together: their |g| must be those of the known lattice.

The spots of many particles in random orientations make a powder pattern. Its score, the sum over spots of
exp(−(|g| − nearest line)²/2σ²) minus what lines at random would give, is largest for the right scale; inner rings come
first, where lines lie far apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from pipeline.reduction.serial.known import KnownLattice
from pipeline.types import Peaks
from twin.model.instrument import Microscope
from twin.physics.projection import g_from_pixels

Floats = NDArray[np.float64]

WIDTH_PER_ANGSTROM = 0.0025
RANGE_PERCENT = 4.0
FIRST_STEPS_PERCENT = (0.1, 0.3, 0.3)  # of the scale and of the two components of the ellipse


def calibrated(
    *, peaks: Peaks, centre_px: Floats, microscope: Microscope, known: KnownLattice, inner_lines: int = 25
) -> Microscope:
    """The microscope with camera length and ellipse that fit the known lattice best; centre_px (frames, 2)."""
    g = g_from_pixels(
        pixels=np.stack([peaks.fast_px, peaks.slow_px], axis=1),
        microscope=microscope,
        centre_px=centre_px[peaks.frame],
    )
    lines = _lines(known, 1.2)
    weight = np.log1p(peaks.intensity / peaks.sigma)
    reach = lines[min(inner_lines, len(lines) - 1)]
    inner = np.hypot(g[:, 0], g[:, 1]) < reach * (1 + 0.01 * RANGE_PERCENT)
    if np.count_nonzero(inner) < 20:
        return microscope
    tests = np.arange(-RANGE_PERCENT, RANGE_PERCENT + 1e-9, 0.1)
    values = [powder_score(g[inner], weight[inner], lines, (t, 0.0, 0.0)) for t in tests]
    start = float(tests[int(np.argmax(values))])

    def misfit(x: Floats) -> float:
        return -powder_score(g[inner], weight[inner], lines, (float(x[0]), float(x[1]), float(x[2])))

    simplex = np.array([start, 0.0, 0.0]) + np.vstack([np.zeros(3), np.diag(FIRST_STEPS_PERCENT)])
    options = {"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-7}
    best = minimize(misfit, simplex[0], method="Nelder-Mead", options=options).x  # type: ignore[call-overload]
    return adjusted(microscope, scale_percent=float(best[0]), stretch_percent=(float(best[1]), float(best[2])))


def _lines(known: KnownLattice, g_max_per_angstrom: float) -> Floats:
    length = np.linalg.norm(known.points(g_max_per_angstrom) @ known.reciprocal.T, axis=1)
    return np.unique(np.round(length, 5))


def powder_score(g_xy: Floats, weight: Floats, lines: Floats, change_percent: tuple[float, float, float]) -> float:
    """Mean closeness of spots (n, 2) to lines (m,), after scale and stretch (along x, along the diagonal) in %."""
    scale, e1, e2 = (0.01 * c for c in change_percent)
    stretch = np.array([[1 + e1, e2], [e2, 1 - e1]])
    length = np.linalg.norm(g_xy @ stretch, axis=1) * (1 + scale)
    after = np.clip(np.searchsorted(lines, length), 1, len(lines) - 1)
    low, high = lines[after - 1], lines[after]
    off = np.minimum(np.abs(length - low), np.abs(high - length))
    level = np.minimum(np.sqrt(2 * np.pi) * WIDTH_PER_ANGSTROM / np.maximum(high - low, 1e-6), 1.0)
    return float(np.sum(weight * (np.exp(-0.5 * (off / WIDTH_PER_ANGSTROM) ** 2) - level)) / np.sum(weight))


def adjusted(microscope: Microscope, *, scale_percent: float, stretch_percent: tuple[float, float]) -> Microscope:
    """The microscope under which the same spots have |g| larger by scale, and stretched; small changes add up."""
    p = microscope.projection
    angle = 2 * np.radians(p.ellipse_azimuth_deg)
    e = p.ellipse_percent * np.array([np.cos(angle), np.sin(angle)]) - np.array(stretch_percent)
    return replace(
        microscope,
        projection=replace(
            p,
            camera_length_mm=p.camera_length_mm / (1 + 0.01 * scale_percent),
            ellipse_percent=float(np.hypot(*e)),
            ellipse_azimuth_deg=float(np.degrees(np.arctan2(e[1], e[0])) / 2) % 180.0,
        ),
    )
