"""Particles, their support, and the pose that a particle has during one exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Matrix3 = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
HalfSpace = tuple[float, float, float, float]  # outward unit normal in the particle's own axes, distance in nm


@dataclass(frozen=True, slots=True, kw_only=True)
class Particle:
    """Shape in the crystal's Cartesian frame (x along a, z along c*; see docs/conventions.md).

    ``size_nm``: sphere (d, d, d); ellipsoid: three full axes; rod: (diameter, diameter, length), length along
    ``axis_uvw``; box: three edges; polyhedron: edges of the box, centred like the particle, that holds it.
    ``axis_uvw`` is the crystal direction of the third size. ``half_spaces``: of a polyhedron, its faces.
    ``mosaicity_deg``: standard deviation of the orientations of its domains about each axis. ``bending_deg_per_nm``:
    how far the lattice turns about the particle's first axis for each nm along its third one.
    """

    shape: Literal["sphere", "ellipsoid", "rod", "box", "polyhedron"]
    size_nm: tuple[float, float, float]
    axis_uvw: tuple[float, float, float] = (0.0, 0.0, 1.0)
    mounting: Matrix3 = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))  # U at tilt 0: g_lab = U B h
    mosaicity_deg: float = 0.0
    bending_deg_per_nm: float = 0.0
    half_spaces: tuple[HalfSpace, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Membrane:
    """Amorphous support under the whole beam."""

    material: Literal["carbon", "ice", "none"] = "carbon"
    thickness_nm: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """What really happened to particle and optics during one exposure (the truth of a frame).

    ``rotation_start`` and ``rotation_end`` take crystal-at-tilt-0 vectors to the laboratory: g_lab = R U B h, at the
    beginning and the end of the exposure (equal in stepwise modes); the stage angle *and* its error are inside.
    """

    index: int
    rotation_start: Matrix3
    rotation_end: Matrix3
    precession_deg: float
    exposure_s: float
    shift_nm: tuple[float, float]  # particle centre against beam centre, laboratory x and y
    centre_px: tuple[float, float]  # fast, slow: where the direct beam lands
    intensity_scale: float = 1.0  # source fluctuation
