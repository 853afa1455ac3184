"""How far frames stray from the goniometer: prior widths of their parameters, and their estimate from the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.normal import Normal, Prior, frame_variances
from pipeline.reduction.position_rows import CENTRE, SCALE, SPIN, TILT

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looseness:
    """Standard deviations of single frames: centre (px) about the direct beam, turns about x and y, and about the beam
    z (degrees), logarithm of the scale."""

    centre_px: float = 0.7
    tilt_deg: float = 0.3
    spin_deg: float = 0.3
    log_scale: float = 0.3

    @property
    def weights(self) -> Floats:
        """1 / σ² in the order of the frame's parameters (OWN,), angles in radians."""
        tilt, spin = np.radians(self.tilt_deg), np.radians(self.spin_deg)
        sd = np.array([self.centre_px, self.centre_px, tilt, tilt, spin, self.log_scale])
        return np.asarray(sd**-2.0)

    def sentence(self) -> str:
        """For the log."""
        return (
            f"frames stray from goniometer and direct beam by {self.tilt_deg:.4f}° in tilt, {self.spin_deg:.4f}° about "
            f"the beam, {self.centre_px:.3f} px, {100 * self.log_scale:.1f} % in scale (standard deviations, from two "
            f"halves of the data)"
        )


LEAST = Looseness(centre_px=0.002, tilt_deg=0.0003, spin_deg=0.0003, log_scale=0.0005)


def estimated_looseness(halves: tuple[Normal, Normal], offset: Floats, *, before: Looseness, known: str) -> Looseness:
    """From two halves of the observations. ``known``: 'positions' (centre and spin only) or 'all'."""
    wide = known == "all"
    groups = (CENTRE, SPIN, TILT, SCALE) if wide else (CENTRE, SPIN)
    sd = np.sqrt(frame_variances(halves=halves, offset=offset, groups=groups))
    return Looseness(
        centre_px=max(float(sd[0]), LEAST.centre_px),
        spin_deg=max(float(np.degrees(sd[1])), LEAST.spin_deg),
        tilt_deg=max(float(np.degrees(sd[2])), LEAST.tilt_deg) if wide else before.tilt_deg,
        log_scale=max(float(sd[3]), LEAST.log_scale) if wide else before.log_scale,
    )


def frame_prior(looseness: Looseness, offset: Floats, shared: Floats, shared_offset: Floats) -> Prior:
    """Priors of all parameters; ``offset``: (frames, OWN) present values."""
    return Prior(shared=shared, shared_offset=shared_offset, own=looseness.weights, own_offset=offset)
