"""Distortions of the projector beyond the ellipse, as circular harmonics in polar coordinates (r, φ) about the beam.

With r in units of ``radius_px`` (half of the detector) and displacements in percent of it:

    parabolic  δr = p r² cos(φ − φ_p)      barrel  δr = b r³      spiral  r δφ = s r³

The magnification cannot be told from the size of the cell and the ellipse is part of the instrument
(``Projection``). The names and the kind of expansion are those of PETS2 (Brázda et al., IUCrJ 9 (2022) 735).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TERMS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Distortion:
    """Amplitudes in percent of ``radius_px`` at that radius; the parabolic one along the fast and the slow axis."""

    parabolic_fast_percent: float = 0.0
    parabolic_slow_percent: float = 0.0
    barrel_percent: float = 0.0
    spiral_percent: float = 0.0
    radius_px: float = 256.0

    @property
    def amplitudes(self) -> Floats:
        """(4,) as fractions."""
        percent = (
            self.parabolic_fast_percent,
            self.parabolic_slow_percent,
            self.barrel_percent,
            self.spiral_percent,
        )
        return 0.01 * np.array(percent)

    def stepped(self, change: Floats) -> Distortion:
        """With ``change`` (4,) added, as fractions."""
        a = 100.0 * (self.amplitudes + change)
        return Distortion(
            parabolic_fast_percent=float(a[0]),
            parabolic_slow_percent=float(a[1]),
            barrel_percent=float(a[2]),
            spiral_percent=float(a[3]),
            radius_px=self.radius_px,
        )

    def sentence(self) -> str:
        """For the log."""
        amount = float(np.hypot(self.parabolic_fast_percent, self.parabolic_slow_percent))
        phase = float(np.degrees(np.arctan2(self.parabolic_slow_percent, self.parabolic_fast_percent)))
        return (
            f"distortion at {self.radius_px:.0f} px: parabolic {amount:.3f} % at {phase:.0f}°, "
            f"barrel {self.barrel_percent:.3f} %, spiral {self.spiral_percent:.3f} %"
        )


def displacement_terms(offset_px: Floats, radius_px: float) -> Floats:
    """Displacement in px for an amplitude of 1 of each term, (n, 2, 4), at offsets (n, 2) from the direct beam."""
    r2 = np.sum(offset_px**2, axis=1)[:, None] / radius_px**2
    along = offset_px / radius_px
    turned = np.stack([-offset_px[:, 1], offset_px[:, 0]], axis=1)
    return np.stack([offset_px * along[:, :1], offset_px * along[:, 1:], offset_px * r2, turned * r2], axis=2)


def distorted(offset_px: Floats, distortion: Distortion) -> Floats:
    """Where a point at an offset (n, 2) from the direct beam is really seen, (n, 2)."""
    if not np.any(distortion.amplitudes):
        return offset_px
    return np.asarray(offset_px + displacement_terms(offset_px, distortion.radius_px) @ distortion.amplitudes)


def undistorted(offset_px: Floats, distortion: Distortion, *, rounds: int = 8) -> Floats:
    """Inverse of :func:`distorted` by iteration: a distortion of 2 % leaves less than 1e-9 px after eight rounds."""
    if not np.any(distortion.amplitudes):
        return offset_px
    guess = offset_px
    for _ in range(rounds):
        guess = offset_px - displacement_terms(guess, distortion.radius_px) @ distortion.amplitudes
    return np.asarray(guess)
