"""How many pixels are missing between the halves of the detector, told by the indexed spots.

The chips of a quad meet at wide pixels (pipeline.io.series.chips). Frames that do not show their width put the halves
too near to each other, and the fit hides that in barrel, spiral and cell. The spots are refined with the halves moved
apart by a pixel less and a pixel more: where the misfit is least they lie.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.geometry import Geometry
from pipeline.reduction.lattice import spot_sigma_px
from pipeline.reduction.predict import Sweep
from pipeline.reduction.refine_geometry import GeometryFit, refine_geometry
from pipeline.types import Peaks
from twin.physics.symmetry import point_rotations

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BORDER_PX = 4.0  # spots this near to the middle are left out: they lie on both halves
CLEAR = 5.0  # standard deviations from zero that call for a word


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipGap:
    """What is missing between the halves beyond what the frames show, its standard deviation, residuals without and
    with it, all in px."""

    gap_px: float
    sd_px: float
    rms_px: float
    rms_with_px: float

    def sentence(self) -> str:
        """For the log; empty when nothing is missing."""
        if not (abs(self.gap_px) > CLEAR * self.sd_px and abs(self.gap_px) > 0.3):
            return ""
        return (
            f"warning: the halves of the detector lie {self.gap_px:.2f} ± {self.sd_px:.2f} px further apart than the "
            f"frames show (residual {self.rms_px:.3f} px, {self.rms_with_px:.3f} px with that): wide pixels between "
            f"chips? --chip-gap-px puts them in"
        )


def _apart(position_px: Floats, size_px: int, gap_px: float) -> Floats:
    return np.asarray(position_px + 0.5 * gap_px * np.sign(position_px - 0.5 * (size_px - 1)))


def measured_gap(
    *, peaks: Peaks, hkl: Ints, geometry: Geometry, hall: str, sweep: Sweep, size_px: tuple[int, int]
) -> ChipGap | None:
    """hkl: (n, 3), zeros where a spot is not indexed. ``hall``: symmetry that the metric obeys. ``size_px``: (fast,
    slow) of the frames. None when a half has too few spots."""
    pixels = np.stack([peaks.fast_px, peaks.slow_px], axis=1)
    from_middle = pixels - 0.5 * (np.array(size_px) - 1)
    use = np.any(hkl != 0, axis=1) & np.all(np.abs(from_middle) > BORDER_PX, axis=1)
    if min(np.min(np.sum(from_middle[use] > 0, axis=0)), np.min(np.sum(from_middle[use] < 0, axis=0))) < 40:
        return None
    rotations = point_rotations(hall, friedel=True)
    sigma = spot_sigma_px(peaks)[use]

    def fit(gap: float) -> GeometryFit:
        centre = np.stack([_apart(geometry.centre_px[:, k], size_px[k], gap) for k in (0, 1)], axis=1)
        start: Geometry = replace(geometry, centre_px=centre)
        moved = np.stack([_apart(pixels[use, k], size_px[k], gap) for k in (0, 1)], axis=1)
        return refine_geometry(
            geometry=start,
            hkl=hkl[use],
            frame=peaks.frame[use],
            observed_px=moved,
            sigma_px=sigma,
            rotations=rotations,
            sweep=sweep,
        )

    at = 0.0
    fits: dict[float, GeometryFit] = {}
    for _ in range(4):  # the parabola is one only near its minimum
        for gap in (at - 1.0, at, at + 1.0):
            fits.setdefault(gap, fit(gap))
        common = np.logical_and.reduce([fits[at + step].used for step in (-1.0, 0.0, 1.0)])
        low, middle, high = (float(np.sum(fits[at + step].residual_px[common] ** 2)) for step in (-1.0, 0.0, 1.0))
        bend = max(low + high - 2.0 * middle, 1e-12)
        moved = 0.5 * (low - high) / bend
        if abs(moved) <= 0.6:
            break
        at += float(np.clip(np.rint(moved), -2.0, 2.0))
    variance = middle / max(2.0 * float(np.count_nonzero(common)), 1.0)
    nearest = fits.setdefault(float(np.rint(at + moved)), fit(float(np.rint(at + moved))))
    zero = fits.setdefault(0.0, fit(0.0))
    return ChipGap(
        gap_px=at + moved, sd_px=float(np.sqrt(2.0 * variance / bend)), rms_px=zero.rms_px, rms_with_px=nearest.rms_px
    )
