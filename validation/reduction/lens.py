"""A projector that distorts, in another form than the one that the reduction fits.

Radial and turning distortion grow with the distance from an optic axis that the direct beam misses: along the radius
by r' = tan(κr)/κ, about the axis by an angle ∝ sin²(πr/4R). Seen from the direct beam that is a barrel, a spiral, a
parabolic term, an ellipse, and all higher orders at once; a three-fold term comes on top. The reduction fits an
ellipse, a parabolic term, and a barrel and a spiral of third order about the direct beam (Brázda et al., IUCrJ 9 (2022)
735 have the names).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RADIUS_PX = 256.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """Where the optic axis is, from the direct beam; the radial, turning and three-fold displacement at RADIUS_PX from
    the axis (the last from the direct beam) in percent of it."""

    axis_px: tuple[float, float] = (0.0, 0.0)
    barrel_percent: float = 0.0
    spiral_percent: float = 0.0
    trefoil_percent: float = 0.0

    @property
    def perfect(self) -> bool:
        """Whether it does nothing."""
        return self.barrel_percent == self.spiral_percent == self.trefoil_percent == 0.0


def _about_the_axis(offset: Floats, lens: Lens) -> Floats:
    """Where points at ``offset`` (n, 2) from the optic axis come to lie."""
    r = np.maximum(np.hypot(offset[:, 0], offset[:, 1]), 1e-9)
    kappa = np.sqrt(0.03 * lens.barrel_percent) / RADIUS_PX  # tan(x)/x = 1 + x²/3
    grown = np.tan(kappa * r) / (kappa * r) if kappa > 0 else np.ones(len(r))
    angle = 0.02 * lens.spiral_percent * np.sin(0.25 * np.pi * r / RADIUS_PX) ** 2
    c, s = grown * np.cos(angle), grown * np.sin(angle)
    return np.column_stack([c * offset[:, 0] - s * offset[:, 1], s * offset[:, 0] + c * offset[:, 1]])


def seen_at(xy: Floats, centre: Floats, lens: Lens) -> Floats:
    """Positions (n, 2) in px behind the lens of points that would be at ``xy``; the direct beam stays at ``centre``."""
    if lens.perfect:
        return xy
    axis = np.array(lens.axis_px)
    offset = xy - centre
    beam = _about_the_axis(-axis[None], lens)
    moved = _about_the_axis(offset - axis, lens) - beam
    r, phi = np.hypot(*offset.T) / RADIUS_PX, np.arctan2(offset[:, 1], offset[:, 0])
    along = 0.01 * lens.trefoil_percent * RADIUS_PX * r**2 * np.cos(3.0 * phi)
    return np.asarray(centre + moved + along[:, None] * np.column_stack([np.cos(phi), np.sin(phi)]))
