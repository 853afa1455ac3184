"""The laboratory of PETS against ours, and the orientation of its zones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.io.pets_reader import PetsFile
from pipeline.types import Orientation

Floats = NDArray[np.float64]

FLIP = np.diag([1.0, -1.0, -1.0])  # our laboratory turned by 180 degrees about x is that of PETS


def _rotations(axis: int, angles_deg: Floats) -> Floats:
    c, s = np.cos(np.radians(angles_deg)), np.sin(np.radians(angles_deg))
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    out = np.tile(np.eye(3), (len(c), 1, 1))
    out[:, i, i] = out[:, j, j] = c
    out[:, i, j], out[:, j, i] = -s, s
    return out


def zone_rotations(pets: PetsFile) -> Floats:
    """M = R_z(ω) R_x(α) R_y(β) of every zone, (frames, 3, 3), in the frame of PETS."""
    return np.asarray(_rotations(2, pets.omega_deg) @ _rotations(0, pets.alpha_deg) @ _rotations(1, pets.beta_deg))


def zone_excitation(pets: PetsFile) -> tuple[Floats, Floats]:
    """Excitation error (Å⁻¹) of each reflection at the middle of its zone, and |g| (n,); K runs along −z."""
    g = np.einsum("nij,nj->ni", zone_rotations(pets)[pets.zone], pets.hkl @ pets.ub.T)
    return np.asarray(g[:, 2] - np.sum(g**2, axis=1) * pets.wavelength_angstrom / 2), np.linalg.norm(g, axis=1)


def to_laboratory(pets: PetsFile) -> tuple[Floats, Floats]:
    """ub (3, 3) and rotation (frames, 3, 3) in our laboratory: rotation[f] @ ub @ hkl."""
    first = _rotations(2, np.array([float(np.median(pets.omega_deg))]))[0] if len(pets.omega_deg) else np.eye(3)
    ub = FLIP @ first @ pets.ub
    return ub, np.asarray(FLIP @ zone_rotations(pets) @ first.T @ FLIP)


def _euler_zxy(m: Floats) -> tuple[Floats, Floats, Floats]:
    """ω, α, β in degrees with m = R_z(ω) R_x(α) R_y(β); (frames, 3, 3) -> three (frames,)."""
    alpha = np.arcsin(np.clip(m[:, 2, 1], -1.0, 1.0))
    beta = np.arctan2(-m[:, 2, 0], m[:, 2, 2])
    omega = np.arctan2(-m[:, 0, 1], m[:, 1, 1])
    return np.degrees(omega), np.degrees(alpha), np.degrees(beta)


def pets_geometry(orientation: Orientation) -> tuple[Floats, Floats, Floats, Floats]:
    """UB in the frame of PETS, and ω, α, β (degrees) of every frame: our φ is their −ω."""
    omega0 = -orientation.microscope.projection.tilt_axis_deg
    zero = _rotations(2, np.array([omega0]))[0]
    ub = zero.T @ FLIP @ orientation.ub
    m = FLIP @ orientation.rotation @ FLIP @ zero
    omega, alpha, beta = _euler_zxy(m)
    return ub, omega, alpha, beta
