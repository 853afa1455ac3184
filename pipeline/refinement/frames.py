"""What a refinement takes from the data: the reflections of each frame, and the beam directions of its exposure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri

from pipeline.refinement.figures import intensity_weights
from pipeline.refinement.settings import DynamicalSettings
from pipeline.types import Orientation, Reflections
from twin.files.errors import InputError
from twin.model.plan import Mode
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import precession_directions
from twin.physics.lattice import Floats, Ints, tilt_axis_vector
from twin.physics.symmetry import centring_vectors, systematically_absent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameData:
    """Reflections of one frame. hkl (M, 3); intensity, sigma, weights (M,).

    reciprocal_lab: (3, 3) R·UB in Å⁻¹ at the middle of the frame. directions: (S, 3) unit vectors of K in that setting.
    across: (3,) the axis about which mosaic blocks are turned, perpendicular to beam and tilt axis. blocks_deg: their
    mosaicity for the choice of beams at each step; None for that of the settings. turned_deg: (2,)
    how far the frame has been turned about x and y from the orientation that was given.
    """

    index: int
    hkl: Ints
    intensity: Floats
    sigma: Floats
    weights: Floats
    reciprocal_lab: Floats
    directions: Floats
    across: Floats | None = None
    blocks_deg: float | None = None
    turned_deg: Floats = field(default_factory=lambda: np.zeros(2))


def exposure_directions(*, mode: Mode, semi_angle_deg: float, steps: int, tilt_axis_deg: float) -> Floats:
    """Directions of K (S, 3) during one exposure, as seen from the crystal at the middle of it.

    A rotation of the crystal by δ about the tilt axis is one of the beam by −δ. Midpoints of equal sub-steps.
    """
    if mode == "precession":
        return precession_directions(precession_deg=semi_angle_deg, steps=steps)
    if mode == "stills" or semi_angle_deg == 0.0:
        return np.array([[0.0, 0.0, 1.0]])
    delta = np.radians(semi_angle_deg) * ((2.0 * np.arange(steps) + 1.0) / steps - 1.0)
    axis = tilt_axis_vector(tilt_axis_deg)
    z = np.array([0.0, 0.0, 1.0])
    return np.asarray(np.cos(delta)[:, None] * z - np.sin(delta)[:, None] * np.cross(axis, z))


def block_positions(count: int) -> Floats:
    """Turns (count,) of equally strong mosaic blocks with a standard deviation of 1: a Gaussian cut into equal shares.

    Each block stands at the median of its share, the quantiles (i + ½)/count; Dyngo's blocks are placed like that (see
    docs/validation/refinement.md).
    """
    if count < 2:
        return np.zeros(count)
    x = ndtri((np.arange(count) + 0.5) / count)
    return np.asarray(x / np.sqrt(np.mean(x**2)))


def mosaic_directions(
    *, directions: Floats, across: Floats, turns: Floats, mosaicity_deg: float
) -> tuple[Floats, Floats]:
    """Directions of K (B·S, 3) as seen from blocks turned by mosaicity · turns (B,) about ``across``, and ∂/∂degree.

    Block by block, so that neighbouring columns are neighbouring directions.
    """
    angle = np.repeat(np.radians(mosaicity_deg) * turns, len(directions))[:, None]
    base = np.tile(directions, (len(turns), 1))
    along = np.outer(base @ across, across)
    flat, turned = base - along, np.cross(across, base)
    out = along + np.cos(angle) * flat - np.sin(angle) * turned
    slope = -np.sin(angle) * flat - np.cos(angle) * turned
    return out, np.asarray(slope * np.repeat(np.radians(turns), len(directions))[:, None])


def relative_excitation(
    *, g_lab: Floats, mode: Mode, semi_angle_deg: float, tilt_axis_deg: float, energy_kev: float
) -> Floats:
    """R_Sg = |s| / range swept, (n,): a reflection is inside the exposure when it is below 1 (see PETS2, Jana)."""
    s, swept = sweep_ranges(
        g_lab=g_lab, mode=mode, semi_angle_deg=semi_angle_deg, tilt_axis_deg=tilt_axis_deg, energy_kev=energy_kev
    )
    return np.asarray(s / np.maximum(swept, 1e-12))


def sweep_ranges(
    *, g_lab: Floats, mode: Mode, semi_angle_deg: float, tilt_axis_deg: float, energy_kev: float
) -> tuple[Floats, Floats]:
    """(|s| at the middle of the exposure, half of the range of s swept), (n,) each, Å⁻¹."""
    k = wavenumber_per_angstrom(energy_kev=energy_kev)
    s = np.abs(-g_lab[:, 2] - np.sum(g_lab**2, axis=1) / (2 * k))
    if mode == "precession":
        radius = np.linalg.norm(g_lab[:, :2], axis=1)
    else:
        axis = tilt_axis_vector(tilt_axis_deg)
        radius = np.linalg.norm(g_lab - np.outer(g_lab @ axis, axis), axis=1)
    return s, np.asarray(radius * np.radians(semi_angle_deg))


def select_frames(
    *, orientation: Orientation, reflections: Reflections, settings: DynamicalSettings, hall: str
) -> tuple[FrameData, ...]:
    """Frames with enough reflections that the exposure covers, within the resolution limit and finite.

    Lattice-centring absences are always left out, those of screw axes and glide planes unless ``keep_absent``.
    """
    microscope = orientation.microscope
    k = wavenumber_per_angstrom(energy_kev=microscope.beam.energy_kev)
    limit = settings.reflection_g_max_per_angstrom or settings.g_max_per_angstrom
    directions = exposure_directions(
        mode=settings.mode,
        semi_angle_deg=reflections.precession_deg,
        steps=settings.steps,
        tilt_axis_deg=microscope.projection.tilt_axis_deg,
    )
    usable = np.isfinite(reflections.intensity) & np.isfinite(reflections.sigma) & (reflections.sigma > 0)
    usable &= reflections.hkl.any(axis=1)
    usable &= ~(
        systematically_absent(reflections.hkl, hall) if not settings.keep_absent else _uncentred(reflections.hkl, hall)
    )
    frames = []
    for index in np.unique(reflections.frame):
        if not 0 <= index < len(orientation.rotation):
            raise InputError(
                f"reflections name frame {index}, but the orientation has {len(orientation.rotation)} frames"
            )
        if not orientation.indexed[index]:
            continue
        lab = orientation.rotation[index] @ orientation.ub
        rows = np.flatnonzero(usable & (reflections.frame == index))
        g = reflections.hkl[rows] @ lab.T
        inside = np.linalg.norm(g, axis=1) <= limit
        if settings.mode == "stills" or reflections.precession_deg == 0.0:
            inside &= np.abs(-g[:, 2] - np.sum(g**2, axis=1) / (2 * k)) <= settings.s_g_max_per_angstrom
        else:
            s, swept = sweep_ranges(
                g_lab=g,
                mode=settings.mode,
                semi_angle_deg=reflections.precession_deg,
                tilt_axis_deg=microscope.projection.tilt_axis_deg,
                energy_kev=microscope.beam.energy_kev,
            )
            inside &= s <= settings.r_s_g_max * np.maximum(swept, 1e-12)
            inside &= swept - s >= settings.d_s_g_min_per_angstrom
        rows = rows[inside]
        if len(rows) < settings.minimum_reflections_per_frame or not np.any(reflections.intensity[rows] > 0):
            continue
        intensity, sigma = reflections.intensity[rows], reflections.sigma[rows]
        frames.append(
            FrameData(
                index=int(index),
                hkl=reflections.hkl[rows],
                intensity=intensity,
                sigma=sigma,
                weights=intensity_weights(intensity=intensity, sigma=sigma, instability=settings.instability),
                reciprocal_lab=lab,
                directions=directions,
                across=np.cross([0.0, 0.0, 1.0], tilt_axis_vector(microscope.projection.tilt_axis_deg)),
            )
        )
    return tuple(frames)


def _uncentred(hkl: Ints, hall: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    phase = hkl @ centring_vectors(hall).T
    return np.asarray(np.any(np.abs(phase - np.round(phase)) > 1e-6, axis=1))
