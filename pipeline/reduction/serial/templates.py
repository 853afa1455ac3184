"""Templates: the spots that the known lattice shows along directions all over the asymmetric part of the sphere.

A template is a list of (|g|, azimuth, weight) for one beam direction at azimuth zero; all turns about the beam follow
from it by a shift in azimuth. Directions lie on a Fibonacci lattice with one point for each step² of the sphere, of
which those in one fundamental domain of the lattice's rotations are kept. The weight of a reflection is
exp(−s²/2w²) with w² = w₀² + (|g| step/2)²: excited within the width of a rocking curve somewhere near the direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.reduction.serial.known import KnownLattice

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex64]

_SPREAD = ((0, 0, 1.0), (1, 0, 0.5), (-1, 0, 0.5), (0, 1, 0.5), (0, -1, 0.5))  # bins away in |g| and azimuth, share
_GENERIC = np.array([0.5473, 0.3189, 0.7738])  # a direction on no element of symmetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Polar:
    """Bins of the polar pattern: |g| up to ``g_max_per_angstrom``, azimuth over the whole circle."""

    g_max_per_angstrom: float = 1.0
    radial: int = 90
    azimuthal: int = 360

    def spread(self, *, length: Floats, azimuth: Floats, weight: Floats) -> Floats:
        """(radial, azimuthal) pattern of points: each into its bin and, by half, into the four beside it."""
        r = np.minimum((length / self.g_max_per_angstrom * self.radial).astype(np.int64), self.radial - 1) + 1
        a = np.floor(azimuth / (2 * np.pi) * self.azimuthal).astype(np.int64) % self.azimuthal
        index = [(r + dr) * self.azimuthal + (a + da) % self.azimuthal for dr, da, _ in _SPREAD]
        shares = [share * weight for _, _, share in _SPREAD]
        size = (self.radial + 2) * self.azimuthal
        flat = np.bincount(np.concatenate(index), weights=np.concatenate(shares), minlength=size)
        return np.asarray(flat.reshape(self.radial + 2, self.azimuthal)[1:-1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Templates:
    """turns (t, 3, 3): crystal frame to laboratory at azimuth zero. spectra (azimuthal / 2 + 1, radial, t): Fourier
    coefficients over the azimuth of patterns without mean and of norm 1."""

    turns: Floats
    spectra: Complexes
    polar: Polar


def directions(known: KnownLattice, *, step_deg: float) -> Floats:
    """Unit vectors (t, 3) in the crystal's Cartesian frame, one for each step² of the fundamental domain."""
    number = int(np.ceil(4 * np.pi / np.radians(step_deg) ** 2))
    n = np.arange(number) + 0.5
    z = 1.0 - 2.0 * n / number
    azimuth = np.pi * (1.0 + np.sqrt(5.0)) * n
    points = np.stack([np.sqrt(1 - z**2) * np.cos(azimuth), np.sqrt(1 - z**2) * np.sin(azimuth), z], axis=1)
    b = known.reciprocal
    images = (b @ known.lattice_turns @ np.linalg.inv(b)) @ (_GENERIC / np.linalg.norm(_GENERIC))
    nearest = np.argmax(points @ images.T, axis=1)
    return np.asarray(points[nearest == 0])


def make_templates(
    known: KnownLattice,
    *,
    wavenumber: float,
    step_deg: float = 2.0,
    width_per_angstrom: float = 0.008,
    polar: Polar | None = None,
) -> Templates:
    """All templates of the lattice."""
    polar = polar or Polar()
    hkl = known.points(polar.g_max_per_angstrom)
    g = hkl @ known.reciprocal.T
    length = np.linalg.norm(g, axis=1)
    width = np.hypot(width_per_angstrom, 0.5 * np.radians(step_deg) * length)
    along = directions(known, step_deg=step_deg)
    turns = np.stack([_to_beam(d) for d in along])
    spectra = np.empty((len(turns), polar.azimuthal // 2 + 1, polar.radial), dtype=np.complex64)
    for n, turn in enumerate(turns):
        lab = g @ turn.T
        s = -lab[:, 2] - length**2 / (2 * wavenumber)
        near = np.flatnonzero(np.abs(s) < 2.5 * width)
        pattern = polar.spread(
            length=np.hypot(lab[near, 0], lab[near, 1]),
            azimuth=np.arctan2(lab[near, 1], lab[near, 0]),
            weight=np.exp(-0.5 * (s[near] / width[near]) ** 2),
        )
        spectra[n] = spectrum(pattern)
    return Templates(turns=turns, spectra=np.ascontiguousarray(spectra.transpose(1, 2, 0)), polar=polar)


def spectrum(pattern: Floats) -> Complexes:
    """Fourier coefficients (azimuthal / 2 + 1, radial) of a pattern freed of its mean over each ring, norm 1."""
    flat = pattern - pattern.mean(axis=1, keepdims=True)
    norm = float(np.linalg.norm(flat))
    return np.asarray(scipy.fft.rfft((flat / max(norm, 1e-12)).astype(np.float32), axis=1).T, dtype=np.complex64)


def _to_beam(direction: Floats) -> Floats:
    """A rotation (3, 3) that takes the direction to z."""
    z = np.array([0.0, 0.0, 1.0])
    axis = np.cross(direction, z)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-12:
        return np.eye(3) if direction[2] > 0 else np.diag([1.0, -1.0, -1.0])
    angle = float(np.arctan2(sine, direction @ z))
    return np.asarray(Rotation.from_rotvec(axis / sine * angle).as_matrix())
