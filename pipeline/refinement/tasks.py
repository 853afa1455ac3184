"""What is asked of one frame at one point of a refinement, and the answer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipeline.refinement.frames import FrameData
from twin.physics.lattice import Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameTask:
    """One frame at one point. values: (P,) structure; thickness_angstrom: T; tilt_deg: (2,) turn about x and y of the

    laboratory from the frame's own orientation. structure, orientation, thickness, mosaicity: what derivatives are
    taken by, of every intensity, or with ``descent`` of χ² alone. few_beams: couple at each step only the beams near
    the sphere there, whatever the settings say. scan_angstrom: intensities of slabs of these thicknesses instead.
    """

    frame: FrameData
    values: Floats
    thickness_angstrom: float
    tilt_deg: Floats
    mosaicity_deg: float = 0.0
    structure: bool = False
    orientation: bool = False
    thickness: bool = False
    mosaicity: bool = False
    descent: bool = False
    few_beams: bool = False
    scan_angstrom: Floats | None = None

    @property
    def wants_derivatives(self) -> bool:
        return self.structure or self.orientation or self.thickness or self.mosaicity

    @property
    def wants_mosaic(self) -> bool:
        """Whether the frame is a sum over mosaic blocks."""
        return self.frame.across is not None and (self.mosaicity or self.mosaicity_deg > 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameDescent:
    """−½ ∂χ² of a frame, χ² = Σ w (I_o − k I)² with its best scale k: by structure (P,), tilts in degrees (2,), ln T,

    and mosaicity in degrees; empty or zero if not asked.
    """

    structure: Floats
    orientation: Floats
    thickness: float
    mosaicity: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameResult:
    """intensity (M,), for unit incident flux. Derivatives: (P, M), (2, M) by degrees, (M,) by ln T and by the

    mosaicity in degrees; empty if not asked. scan: (J, M) intensities of slabs of the asked thicknesses, else empty.
    descent: what was asked for instead of derivatives.
    """

    intensity: Floats
    structure: Floats
    orientation: Floats
    thickness: Floats
    scan: Floats
    mosaicity: Floats = field(default_factory=lambda: np.zeros(0))
    descent: FrameDescent | None = None


def plain_result(intensity: Floats) -> FrameResult:
    """Intensities (M,) alone."""
    none = np.zeros((0, len(intensity)))
    return FrameResult(intensity=intensity, structure=none, orientation=none, thickness=np.zeros(0), scan=none)


def scan_result(slabs: Floats) -> FrameResult:
    """Intensities of slabs (J, M) alone."""
    none = np.zeros((0, slabs.shape[1]))
    return FrameResult(intensity=np.zeros(0), structure=none, orientation=none, thickness=np.zeros(0), scan=slabs)


def turn_matrix(tilt_deg: Floats) -> Floats:
    """Rotation (3, 3) by the vector (tilt_x, tilt_y, 0) in degrees, Rodrigues' formula."""
    x, y = np.radians(tilt_deg)
    cross = np.array([[0.0, 0.0, y], [0.0, 0.0, -x], [-y, x, 0.0]])
    angle = float(np.hypot(x, y))
    return np.asarray(
        np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * cross @ cross
    )
