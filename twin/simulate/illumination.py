"""Beam and particle in the plane of the specimen: who is hit by how much, and the spot shapes that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import erf

from twin.model.instrument import Beam, Microscope
from twin.model.specimen import Particle
from twin.physics.column import ThicknessBasis, mode_maps, spot_templates, thickness_basis
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import Floats
from twin.specimen.shapes import columns, lateral_extent_angstrom

EDGE_FRACTION = 0.04  # softness of a top-hat's edge in units of its diameter; an assumption, keeps its fringes real
_GRID = 320  # columns along each side of the particle's shadow for the thickness distribution
_MAX_OVERSAMPLING = 16
_DIRECT_SAMPLES = 384


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Footprint:
    """Thickness distribution of a particle under the beam.

    basis: None when no electrons hit the particle. slope (2,): d(middle height)/d(x, y) of the columns, the lean of
    the shape transform. maximum_angstrom: thickest column. Columns (n,) that are hit: thickness_angstrom, weight
    (electrons for each of the beam's) and middle_angstrom (n, 3), in the laboratory from the particle's centre.
    """

    basis: ThicknessBasis | None
    slope: Floats
    maximum_angstrom: float
    thickness_angstrom: Floats
    weight: Floats
    middle_angstrom: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpotShapes:
    """templates (T, n, n) with ``oversampling`` steps a pixel; see :func:`twin.physics.column.spot_templates`."""

    templates: Floats
    oversampling: int


def incident_electrons(*, beam: Beam, exposure_s: float, intensity_scale: float) -> float:
    """Electrons of one exposure: flux × area of the nominal disc × time."""
    return beam.flux_e_per_angstrom2_s * _area(beam) * exposure_s * intensity_scale


def beam_intensity(*, beam: Beam, radius_angstrom: Floats) -> Floats:
    """|b|² in Å⁻² at a distance from the beam's centre; its integral over the plane is 1."""
    diameter = 10.0 * beam.diameter_nm
    if beam.profile == "gaussian":
        variance = (diameter / 2.3548200450309493) ** 2
        return np.asarray(np.exp(-0.5 * radius_angstrom**2 / variance) / (2 * np.pi * variance))
    width = EDGE_FRACTION * diameter
    profile = 0.5 * (1.0 - erf((radius_angstrom - 0.5 * diameter) / width))
    # ∫ ½ erfc((r − R)/w) 2πr dr = π (R² + w²/2) for w << R
    return np.asarray(profile / (np.pi * (0.25 * diameter**2 + 0.5 * width**2)))


def footprint(
    *, particle: Particle, axes_lab: Floats, beam: Beam, shift_nm: tuple[float, float], nodes: int
) -> Footprint:
    """Thickness distribution, weighted by the electrons that fall on each column."""
    half_x, half_y = lateral_extent_angstrom(particle=particle, axes_lab=axes_lab)
    step = (np.arange(_GRID) + 0.5) / _GRID * 2.0 - 1.0
    x, y = (half_x * step)[None, :], (half_y * step)[:, None]
    cut = columns(particle=particle, axes_lab=axes_lab, x_angstrom=x, y_angstrom=y)
    t = cut.thickness_angstrom
    radius = np.hypot(x + 10.0 * shift_nm[0], y + 10.0 * shift_nm[1])
    weight = beam_intensity(beam=beam, radius_angstrom=radius) * (4.0 * half_x * half_y / _GRID**2)
    hit = (t > 1e-6 * t.max()) & (weight > 0.0)
    if float(weight[hit].sum()) < 1e-12:
        return Footprint(
            basis=None, slope=np.zeros(2), maximum_angstrom=float(t.max()), thickness_angstrom=np.zeros(0),
            weight=np.zeros(0), middle_angstrom=np.zeros((0, 3)),
        )  # fmt: skip
    basis = thickness_basis(thickness_angstrom=t[hit], weight=weight[hit], nodes=nodes)
    strength = (weight * t**2)[hit]
    design = np.stack([np.broadcast_to(x, t.shape)[hit], np.broadcast_to(y, t.shape)[hit]])
    normal = (design * strength) @ design.T
    slope = np.linalg.solve(normal, (design * strength) @ cut.middle_angstrom[hit])
    return Footprint(
        basis=basis,
        slope=slope,
        maximum_angstrom=float(t.max()),
        thickness_angstrom=t[hit],
        weight=weight[hit],
        middle_angstrom=np.stack([*design, cut.middle_angstrom[hit]], axis=1),
    )


def particle_spots(
    *,
    particle: Particle,
    axes_lab: Floats,
    microscope: Microscope,
    shift_nm: tuple[float, float],
    basis: ThicknessBasis,
    modes: int,
) -> SpotShapes:
    """Templates of the particle's spots on the detector's pixel grid."""
    size = 2.0 * max(lateral_extent_angstrom(particle=particle, axes_lab=axes_lab))
    pixel = pixel_per_angstrom(microscope)
    disc = disc_radius_per_angstrom(microscope.beam)
    oversampling = int(np.clip(math.ceil(2.2 * size * pixel), 4, _MAX_OVERSAMPLING))
    window = int(np.clip(math.ceil(2.0 * (disc + 6.0 / size) / pixel), 8, 40)) + 2
    samples = window * oversampling
    finer = 2 if samples <= 200 else 1
    n = samples * finer
    spacing = 1.0 / (window * pixel * finer)
    axis: Floats = (np.arange(n, dtype=np.float64) - n // 2) * spacing
    x, y = axis[None, :], axis[:, None]
    t = _smooth_thickness(particle, axes_lab, x, y, spacing)
    radius = np.hypot(x + 10.0 * shift_nm[0], y + 10.0 * shift_nm[1])
    amplitude = np.sqrt(beam_intensity(beam=microscope.beam, radius_angstrom=radius))
    maps = mode_maps(basis=basis, thickness_angstrom=t, amplitude=amplitude, modes=min(modes, basis.weight.size))
    templates = spot_templates(
        maps=maps, samples=samples, pixel_angstrom=spacing, disc_radius_per_angstrom=disc
    )
    return SpotShapes(templates=templates, oversampling=oversampling)


@lru_cache(maxsize=8)
def direct_beam_spot(microscope: Microscope) -> SpotShapes:
    """Template of the undiffracted beam: the beam's own transform folded with the illumination's disc."""
    beam, pixel = microscope.beam, pixel_per_angstrom(microscope)
    oversampling = int(np.clip(math.ceil(2.2 * 10.0 * beam.diameter_nm * pixel), 4, _MAX_OVERSAMPLING))
    window = _DIRECT_SAMPLES // oversampling
    samples = window * oversampling
    spacing = 1.0 / (window * pixel)
    axis = (np.arange(samples) - samples // 2) * spacing
    # a beam wider than the grid has a spot far below a pixel: the widest that fits is as good
    narrow = min(1.0, 0.45 * samples * spacing / (10.0 * beam.diameter_nm))
    radius = np.hypot(axis[None, :], axis[:, None]) / narrow
    maps = np.sqrt(beam_intensity(beam=beam, radius_angstrom=radius))[None] / narrow
    templates = spot_templates(
        maps=maps, samples=samples, pixel_angstrom=spacing, disc_radius_per_angstrom=disc_radius_per_angstrom(beam)
    )
    return SpotShapes(templates=templates, oversampling=oversampling)


def pixel_per_angstrom(microscope: Microscope) -> float:
    """Width of a pixel at the centre of the pattern in Å⁻¹."""
    length_px = microscope.projection.camera_length_mm * 1e3 / microscope.detector.pixel_size_um
    return wavenumber_per_angstrom(energy_kev=microscope.beam.energy_kev) / length_px


def disc_radius_per_angstrom(beam: Beam) -> float:
    """Radius of the convergence disc in Å⁻¹."""
    return wavenumber_per_angstrom(energy_kev=beam.energy_kev) * beam.convergence_mrad * 1e-3


def _smooth_thickness(particle: Particle, axes_lab: Floats, x: Floats, y: Floats, spacing: float) -> Floats:
    """Thickness averaged over 2 × 2 points of each cell where the edge crosses it, so that edges do not step."""
    quarter = 0.25 * spacing
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape))
    for dx in (-quarter, quarter):
        for dy in (-quarter, quarter):
            cut = columns(particle=particle, axes_lab=axes_lab, x_angstrom=x + dx, y_angstrom=y + dy)
            total += cut.thickness_angstrom
    return 0.25 * total


def _area(beam: Beam) -> float:
    return math.pi * (5.0 * beam.diameter_nm) ** 2
