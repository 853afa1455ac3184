"""Kinematical tilt series for the tests of the reduction, with a known truth.

A generator of its own, far simpler than the twin: Gaussian spots, the integrated relrod of a sphere, smooth rings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from twin.model.crystal import Crystal
from twin.model.dataset import Dataset
from twin.model.instrument import Microscope
from twin.model.plan import Mode
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import miller_indices, reciprocal_matrix, rotation_matrix, tilt_axis_vector
from twin.physics.projection import pixels_from_g
from twin.physics.structure_factors import structure_factors
from validation import reference
from validation.reference import microscope as nominal_microscope
from validation.reference import with_displacement

Floats = NDArray[np.float64]

BROOKITE = with_displacement(reference.BROOKITE, 0.005)
ITO, ANATASE = reference.ITO, reference.ANATASE


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """A dataset and its truth: rotations (frames, 3, 3) at mid-exposure, ub at tilt 0, centres (frames, 2)."""

    dataset: Dataset
    crystal: Crystal
    microscope: Microscope
    ub: Floats
    rotation: Floats
    centre_px: Floats
    intensity: dict[tuple[int, int, int], float]


def sphere_relrod(*, s: Floats, diameter_angstrom: float) -> Floats:
    """∫ sin²(πts)/(πs)² p(t) dt over the chords of a sphere, p(t) = 2t/D², by quadrature; normalised to ∫ ds = 1."""
    t = (np.arange(40) + 0.5) / 40 * diameter_angstrom
    weight = 2 * t / diameter_angstrom**2 * diameter_angstrom / 40
    value = np.sinc(np.multiply.outer(s, t)) ** 2 * t**2 @ weight
    return np.asarray(value / (2 * diameter_angstrom / 3))


def make_series(
    *,
    crystal: Crystal,
    frames: int = 40,
    step_deg: float = 2.0,
    precession_deg: float = 1.2,
    mode: Mode = "precession",
    diameter_angstrom: float = 100.0,
    spot_sigma_px: float = 0.8,
    strong_counts: float = 20000.0,
    background: float = 3.0,
    hits: int = 2,
    g_max: float = 1.6,
    jitter_deg: float = 0.07,
    drift_px: float = 3.0,
    camera_error: float = 0.01,
    ellipse_percent: float = 0.5,
    axis_error_deg: float = 1.5,
    per_px: float = 0.008,
    seed: int = 1,
    size_px: int = 512,
    tail_per_angstrom: float = 0.0,
    mounting: Floats | None = None,
) -> Made:
    """Frames of one sphere; ``hits`` pixels fire for each electron.

    ``tail_per_angstrom``: how far from the Ewald sphere spots are drawn, at least four over the diameter.
    ``mounting``: rotation (3, 3) from the Cartesian crystal frame to the laboratory at tilt 0; random without it.
    """
    rng = np.random.default_rng(seed)
    nominal = nominal_microscope(size_px=size_px, per_px=per_px)
    actual = replace(
        nominal,
        projection=replace(
            nominal.projection,
            camera_length_mm=nominal.projection.camera_length_mm * (1 + camera_error),
            ellipse_percent=ellipse_percent,
            ellipse_azimuth_deg=70.0,
            tilt_axis_deg=nominal.projection.tilt_axis_deg + axis_error_deg,
        ),
    )
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    if mounting is None:
        mounting = q * np.sign(np.linalg.det(q))
    ub = mounting @ reciprocal_matrix(crystal.cell)
    hkl = miller_indices(reciprocal=ub, g_max_per_angstrom=g_max)[1:]
    f2 = np.abs(structure_factors(crystal=crystal, hkl=hkl)) ** 2
    hkl, f2 = hkl[f2 > 1e-8], f2[f2 > 1e-8]
    f2 = f2 / np.sort(f2)[-20]
    start = -0.5 * step_deg * frames
    alpha0 = start + step_deg * np.arange(frames)
    alpha1 = alpha0 + (step_deg if mode == "continuous" else 0.0)
    axis = tilt_axis_vector(actual.projection.tilt_axis_deg)
    centre = (
        256.0 * size_px / 512
        + np.array([4.0, -3.0])
        + np.cumsum(rng.normal(size=(frames, 2)), axis=0) * drift_px / np.sqrt(frames)
    )
    counts = np.zeros((frames, size_px, size_px), dtype=np.uint32)
    rotation = np.zeros((frames, 3, 3))
    k = wavenumber_per_angstrom(energy_kev=200.0)
    psi = 2 * np.pi * (np.arange(64) + 0.5) / 64
    for f in range(frames):
        wobble = rng.normal(size=3) * jitter_deg
        error = rotation_matrix(axis=wobble, angle_deg=float(np.linalg.norm(wobble)) + 1e-12)
        mid = 0.5 * (alpha0[f] + alpha1[f])
        rotation[f] = error @ rotation_matrix(axis=axis, angle_deg=mid)
        g = hkl @ (rotation[f] @ ub).T
        base = -np.sum(g**2, axis=1) / (2 * k)
        if mode == "continuous":
            turn = np.radians(np.linspace(-0.5, 0.5, 41) * step_deg)
            s = base[:, None] - g[:, 2:] - np.multiply.outer(np.cross(axis, g)[:, 2], turn)
        else:
            tilt = np.radians(precession_deg)
            s = (
                base[:, None]
                - g[:, 2:] * np.cos(tilt)
                - np.sin(tilt) * (g[:, :1] * np.cos(psi) + g[:, 1:2] * np.sin(psi))
            )
        near = np.min(np.abs(s), axis=1) < max(4 / diameter_angstrom, tail_per_angstrom)
        density = np.zeros(len(g))
        density[near] = sphere_relrod(s=s[near], diameter_angstrom=diameter_angstrom).mean(axis=1)
        electrons = strong_counts * f2 * density / (0.4 / 0.02)
        xy = pixels_from_g(g_xy=g[:, :2], microscope=actual, centre_px=centre[f])
        image = _image(
            xy=xy,
            electrons=electrons,
            centre=centre[f],
            size_px=size_px,
            sigma_px=spot_sigma_px,
            background=background,
            per_px=per_px,
        )
        shot = rng.poisson(image / hits)
        out = shot.copy()
        for _ in range(hits - 1):  # each electron also fires the pixel to its left or right
            left = rng.binomial(shot, 0.5)
            out += np.roll(left, -1, axis=1) + np.roll(shot - left, 1, axis=1)
        counts[f] = np.minimum(out, nominal.detector.counter_max)
    dataset = Dataset(
        counts=counts,
        alpha_start_deg=alpha0,
        alpha_end_deg=alpha1,
        exposure_s=np.ones(frames),
        bad_pixels=np.zeros((size_px, size_px), dtype=bool),
        microscope=nominal,
        mode=mode,
        precession_deg=precession_deg if mode == "precession" else 0.0,
    )
    table = {tuple(int(v) for v in h): float(v) for h, v in zip(hkl, f2, strict=True)}
    return Made(
        dataset=dataset, crystal=crystal, microscope=actual, ub=ub, rotation=rotation, centre_px=centre, intensity=table
    )  # type: ignore[arg-type]


def _image(
    *, xy: Floats, electrons: Floats, centre: Floats, size_px: int, sigma_px: float, background: float, per_px: float
) -> Floats:
    yy, xx = np.mgrid[:size_px, :size_px]
    g = np.hypot(xx - centre[0], yy - centre[1]) * per_px
    rings = (
        0.6 * np.exp(-(((g - 0.49) / 0.1) ** 2))
        + 0.3 * np.exp(-(((g - 0.85) / 0.12) ** 2))
        + 0.2
        + 3 * np.exp(-g / 0.12)
    )
    image = background * rings + 3e5 * np.exp(-0.5 * (g / (1.5 * per_px)) ** 2)
    reach = int(np.ceil(5 * sigma_px))
    window = np.arange(-reach, reach + 1)
    for (x, y), e in zip(xy, electrons, strict=True):
        ix, iy = round(x), round(y)
        if e < 1e-3 or not (reach < ix < size_px - reach - 1 and reach < iy < size_px - reach - 1):
            continue
        wx = np.exp(-0.5 * ((ix + window - x) / sigma_px) ** 2)
        wy = np.exp(-0.5 * ((iy + window - y) / sigma_px) ** 2)
        image[iy - reach : iy + reach + 1, ix - reach : ix + reach + 1] += e * np.outer(wy, wx) / (wx.sum() * wy.sum())
    return image
