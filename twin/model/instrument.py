"""The microscope as a value. One type serves twice: once with the *actual* numbers, once with the *nominal* ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Beam:
    """Illumination at the specimen. The flux is that inside a top-hat of ``diameter_nm`` (the current follows)."""

    energy_kev: float
    diameter_nm: float
    flux_e_per_angstrom2_s: float
    convergence_mrad: float = 0.0  # semi-angle
    profile: Literal["top_hat", "gaussian"] = "top_hat"  # gaussian: diameter is the full width at half maximum


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """Hybrid-pixel detector. Pixel (0, 0) is the first of the fast and slow axes; its centre is at (0.0, 0.0)."""

    name: str
    fast_px: int
    slow_px: int
    pixel_size_um: float
    counts_per_electron: float = 1.0  # mean number of pixels that one electron fires
    psf_fwhm_px: float = 0.0
    quantum_efficiency: float = 1.0
    counter_max: int = 65535
    dead_time_ns: float = 0.0
    dead_pixel_fraction: float = 0.0
    flat_field_sd: float = 0.0
    gap_px: int = 0  # width of the dead cross between chips, 0 for none


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """How reciprocal space lands on the detector. See docs/conventions.md for the figure and the signs."""

    camera_length_mm: float
    centre_fast_px: float
    centre_slow_px: float
    tilt_axis_deg: float  # from the fast axis x towards the slow axis y
    ellipse_percent: float = 0.0  # half the relative difference of the two radii
    ellipse_azimuth_deg: float = 0.0  # direction of the long axis, from x towards y


@dataclass(frozen=True, slots=True, kw_only=True)
class Microscope:
    """Beam, detector and projection together."""

    name: str
    beam: Beam
    detector: Detector
    projection: Projection
