"""Kinematical rotation series with a known truth, for the reduction alone.

Not the model of the pipeline: rocking curves are Gaussian in s (the pipeline fits those of a sphere), spots are
Gaussians integrated over the pixels. One electron is one count, so that programs that assume Poisson noise are right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from twin.model.dataset import Dataset
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import miller_indices, reciprocal_matrix, rotation_matrix, tilt_axis_vector
from twin.physics.projection import pixels_from_g
from twin.physics.structure_factors import structure_factors
from validation.reduction.crystals import CRYSTALS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SPOT_SIGMA_PX = 1.0
DISTORTION_RADIUS_PX = 256.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a series suffers from. ``strong_counts``: of the twentieth strongest reflection, whole rocking curve."""

    name: str
    size_nm: float
    strong_counts: float
    background: float
    ellipse_percent: float = 0.0
    jitter_deg: float = 0.0
    centre_jitter_px: float = 0.0
    drift_px: float = 0.0
    scale_sd: float = 0.0
    axis_error_deg: float = 0.0
    parabolic_percent: float = 0.0  # along 40° from the fast axis; this and the next two at DISTORTION_RADIUS_PX
    barrel_percent: float = 0.0
    spiral_percent: float = 0.0
    crystal: str = "In2O3"
    frames: int = 480
    step_deg: float = 0.25
    seed: int = 4


IDEAL = Conditions(name="ideal", size_nm=40.0, strong_counts=20000.0, background=1.0)
HARD = Conditions(
    name="hard",
    size_nm=25.0,
    strong_counts=8000.0,
    background=2.0,
    ellipse_percent=0.5,
    jitter_deg=0.05,
    centre_jitter_px=0.3,
    drift_px=3.0,
    scale_sd=0.15,
    axis_error_deg=17.0,
)
WEAK = Conditions(name="weak", size_nm=40.0, strong_counts=400.0, background=2.0)
DISTORTED = Conditions(
    name="distorted",
    size_nm=30.0,
    strong_counts=20000.0,
    background=2.0,
    ellipse_percent=1.5,
    parabolic_percent=1.0,
    barrel_percent=1.5,
    spiral_percent=-1.0,
    jitter_deg=0.02,
    centre_jitter_px=0.2,
    axis_error_deg=1.0,
    crystal="brookite",
    frames=220,
    step_deg=0.5,
    seed=5,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """A series and its truth: rotation (frames, 3, 3) at mid-exposure, ub at tilt 0; for each reflection that passes
    the sphere wholly: hkl (n, 3), f2 (n,), counts (n,) expected over all frames, variance (n,) that photon noise
    leaves to the best estimator."""

    dataset: Dataset
    actual: Microscope
    ub: Floats
    rotation: Floats
    hkl: Ints
    f2: Floats
    counts: Floats
    variance: Floats


def _microscope(conditions: Conditions) -> tuple[Microscope, Microscope]:
    """Nominal and actual."""
    k = wavenumber_per_angstrom(energy_kev=200.0)
    projection = Projection(
        camera_length_mm=0.055 * k / 0.0075,
        centre_fast_px=255.5,
        centre_slow_px=255.5,
        tilt_axis_deg=32.0,
        ellipse_percent=conditions.ellipse_percent,
        ellipse_azimuth_deg=70.0,
    )
    actual = Microscope(
        name="kinematical",
        beam=Beam(energy_kev=200.0, diameter_nm=100.0, flux_e_per_angstrom2_s=1.0),
        detector=Detector(name="ideal", fast_px=512, slow_px=512, pixel_size_um=55.0, counter_max=2**24),
        projection=projection,
    )
    said = replace(projection, ellipse_percent=0.0, tilt_axis_deg=32.0 - conditions.axis_error_deg)
    return replace(actual, projection=said), actual


def _draw(image: Floats, xy: Floats, electrons: Floats) -> None:
    """Add Gaussian spots, integrated over each pixel; in place."""
    reach = 6
    window = np.arange(-reach, reach + 1)
    for (x, y), e in zip(xy, electrons, strict=True):
        ix, iy = round(float(x)), round(float(y))
        if e < 1e-3 or not (reach < ix < image.shape[1] - reach - 1 and reach < iy < image.shape[0] - reach - 1):
            continue
        edges = np.array([window - 0.5, window + 0.5]) / (np.sqrt(2.0) * SPOT_SIGMA_PX)
        shift = np.array([ix - x, iy - y]) / (np.sqrt(2.0) * SPOT_SIGMA_PX)
        wx, wy = (0.5 * (erf(edges[1] + t) - erf(edges[0] + t)) for t in shift)
        image[iy - reach : iy + reach + 1, ix - reach : ix + reach + 1] += e * np.outer(wy, wx)


def _seen_at(xy: Floats, centre: Floats, conditions: Conditions) -> Floats:
    """Positions (n, 2) after parabolic, barrel and spiral distortion, in polar coordinates about ``centre``."""
    c = conditions
    x, y = (xy - centre).T
    r, phi = np.hypot(x, y) / DISTORTION_RADIUS_PX, np.arctan2(y, x)
    along = 0.01 * (c.parabolic_percent * r**2 * np.cos(phi - np.radians(40.0)) + c.barrel_percent * r**3)
    turned = 0.01 * c.spiral_percent * r**3
    moved_x = (r + along) * np.cos(phi) - turned * np.sin(phi)
    moved_y = (r + along) * np.sin(phi) + turned * np.cos(phi)
    return np.stack([moved_x, moved_y], axis=1) * DISTORTION_RADIUS_PX + centre


def make_known(conditions: Conditions, *, g_max_per_angstrom: float = 1.7) -> Known:
    """Draw the errors of the instrument, then the frames."""
    c = conditions
    rng = np.random.default_rng(c.seed)
    nominal, actual = _microscope(c)
    k = wavenumber_per_angstrom(energy_kev=200.0)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    crystal = CRYSTALS[c.crystal]
    ub = q * np.sign(np.linalg.det(q)) @ reciprocal_matrix(crystal.cell)
    hkl = miller_indices(reciprocal=ub, g_max_per_angstrom=g_max_per_angstrom)
    f2 = np.abs(structure_factors(crystal=crystal, hkl=hkl)) ** 2
    keep = (f2 > 1e-8) & np.any(hkl != 0, axis=1)
    hkl, f2 = hkl[keep], f2[keep] / np.sort(f2[keep])[-20]
    alpha = np.asarray(c.step_deg * (np.arange(c.frames) - 0.5 * c.frames), dtype=np.float64)
    axis = tilt_axis_vector(actual.projection.tilt_axis_deg)
    centre = 255.5 + c.centre_jitter_px * rng.normal(size=(c.frames, 2))
    centre += c.drift_px * np.cumsum(rng.normal(size=(c.frames, 2)), axis=0) / np.sqrt(c.frames)
    wobble = c.jitter_deg * rng.normal(size=(c.frames, 3))
    scale = np.exp(c.scale_sd * rng.normal(size=c.frames))
    width = 0.44 / (10.0 * c.size_nm)  # Å⁻¹, standard deviation of sin²(πst)/(πs)² in its middle
    yy, xx = np.mgrid[:512, :512]
    images = np.zeros((c.frames, 512, 512), dtype=np.uint32)
    rotation = np.zeros((c.frames, 3, 3))
    total, squares, curve = np.zeros(len(hkl)), np.zeros(len(hkl)), np.zeros(len(hkl))
    unit = 0.5 * c.strong_counts  # a node half an Å⁻¹ from the axis has a Lorentz factor of 2
    for f in range(c.frames):
        turn = float(np.linalg.norm(wobble[f]))
        error = rotation_matrix(axis=wobble[f], angle_deg=turn) if turn > 0 else np.eye(3)
        rotation[f] = error @ rotation_matrix(axis=axis, angle_deg=float(alpha[f]) + 0.5 * c.step_deg)
        g = hkl @ (rotation[f] @ ub).T
        s = -g[:, 2] - np.sum(g**2, axis=1) / (2 * k)
        lever = np.abs(np.cross(axis, g)[:, 2])
        half = 0.5 * np.radians(c.step_deg) * np.maximum(lever, 1e-6)
        part = 0.5 * (erf((s + half) / width / np.sqrt(2)) - erf((s - half) / width / np.sqrt(2)))
        mean = part / (2 * half)  # of the curve over the exposure, per Å⁻¹
        electrons = unit * f2 * np.radians(c.step_deg) * mean * scale[f]
        g_px = np.hypot(xx - centre[f, 0], yy - centre[f, 1]) * 0.0075
        halo = c.background * (0.5 + 0.8 * np.exp(-(((g_px - 0.5) / 0.12) ** 2)) + 3 * np.exp(-g_px / 0.12))
        expected = halo + 3e4 * np.exp(-0.5 * (g_px / 0.01) ** 2)
        near = np.flatnonzero(electrons > 1e-3)
        xy = _seen_at(pixels_from_g(g_xy=g[near, :2], microscope=actual, centre_px=centre[f]), centre[f], c)
        _draw(expected, xy, electrons[near])
        images[f] = rng.poisson(expected)
        inside = near[np.all((xy > 12) & (xy < 499), axis=1) & (lever[near] > 0.05)]
        total[inside] += electrons[inside]
        curve[inside] += part[inside]
        level = c.background * np.interp(
            np.linalg.norm(g[inside], axis=1), [0, 0.2, 0.5, 0.8, 2], [3, 1, 1.3, 0.6, 0.5]
        )
        squares[inside] += electrons[inside] ** 2 / (electrons[inside] + 4 * np.pi * SPOT_SIGMA_PX**2 * level)
    whole = (curve > 0.99) & (curve < 1.01) if c.jitter_deg == 0 else (curve > 0.9) & (curve < 1.1)
    dataset = Dataset(
        counts=images,
        alpha_start_deg=alpha,
        alpha_end_deg=np.asarray(alpha + c.step_deg, dtype=np.float64),
        exposure_s=np.ones(c.frames),
        bad_pixels=np.zeros((512, 512), dtype=bool),
        microscope=nominal,
        mode="continuous",
        precession_deg=0.0,
        name=c.name,
    )
    return Known(
        dataset=dataset,
        actual=actual,
        ub=ub,
        rotation=rotation,
        hkl=hkl[whole],
        f2=f2[whole],
        counts=total[whole],
        variance=total[whole] ** 2 / np.maximum(squares[whole], 1e-12),
    )
