"""Spots of stills without images: a lattice in random orientations, relrods, random F², misplaced and foreign spots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.reduction.predict import Sweep
from pipeline.reduction.serial.known import KnownLattice
from pipeline.types import Peaks
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.projection import pixels_from_g
from twin.physics.symmetry import asymmetric_hkl

Floats = NDArray[np.float64]
WAVENUMBER = wavenumber_per_angstrom(energy_kev=200.0)
SWEEP = Sweep(mode="serial", half_angle_deg=0.0, tilt_axis_deg=0.0, wavenumber=WAVENUMBER)
MICROSCOPE = Microscope(
    name="Test",
    beam=Beam(energy_kev=200.0, diameter_nm=25.0, flux_e_per_angstrom2_s=380.0),
    detector=Detector(name="Test", fast_px=512, slow_px=512, pixel_size_um=55.0),
    projection=Projection(camera_length_mm=281.0, centre_fast_px=255.5, centre_slow_px=255.5, tilt_axis_deg=0.0),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stills:
    """Spots, centres (f, 2) as a search would find them, true rotations (f, 3, 3)."""

    peaks: Peaks
    centre_px: Floats
    rotation: Floats


def structure_intensities(hkl: NDArray[np.int64], *, hall: str, seed: int) -> Floats:
    """Random F² (n,) of exponential distribution with the symmetry of the Laue class, falling with resolution."""
    unique, group = np.unique(asymmetric_hkl(hkl, hall, friedel=True), axis=0, return_inverse=True)
    return np.asarray(np.random.default_rng(seed).exponential(size=len(unique))[np.asarray(group).reshape(-1)])


def make_stills(
    known: KnownLattice,
    *,
    frames: int,
    seed: int,
    microscope: Microscope = MICROSCOPE,
    noise_px: float = 0.3,
    foreign: int = 8,
    strongest: int = 70,
    diameter_angstrom: float = 100.0,
    g_max_per_angstrom: float = 1.5,
) -> Stills:
    """The ``strongest`` spots of each frame, with ``foreign`` ones anywhere, centres off by up to a pixel."""
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(frames, random_state=rng).as_matrix()
    hkl = known.points(g_max_per_angstrom)
    g = hkl @ known.reciprocal.T
    f2 = structure_intensities(hkl, hall=known.hall, seed=1) * np.exp(-0.5 * np.sum(g**2, axis=1))
    centre = np.array([255.5, 255.5]) + rng.uniform(-1, 1, (frames, 2))
    columns: list[tuple[Floats, ...]] = []
    for f in range(frames):
        lab = g @ rotation[f].T
        s = -lab[:, 2] - np.sum(lab**2, axis=1) / (2 * WAVENUMBER)
        intensity = 4e3 * f2 * np.sinc(s * diameter_angstrom) ** 2 * (np.abs(s) < 0.03)
        chosen = np.argsort(-intensity)[:strongest]
        chosen = chosen[intensity[chosen] > 20.0]
        xy = pixels_from_g(g_xy=lab[chosen, :2], microscope=microscope, centre_px=centre[f])
        xy = np.concatenate([xy + rng.normal(scale=noise_px, size=xy.shape), rng.uniform(40, 470, (foreign, 2))])
        value = np.concatenate([intensity[chosen], rng.uniform(100, 1000, foreign)]) + 20.0
        columns.append((np.full(len(value), float(f)), xy[:, 0], xy[:, 1], value, np.sqrt(value) + 5.0))
    table = [np.concatenate(c) for c in zip(*columns, strict=True)]
    peaks = Peaks(
        frame=table[0].astype(np.int64), fast_px=table[1], slow_px=table[2], intensity=table[3], sigma=table[4]
    )
    return Stills(peaks=peaks, centre_px=centre + rng.normal(scale=0.3, size=centre.shape), rotation=rotation)
