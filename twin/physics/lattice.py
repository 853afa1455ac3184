"""Cells, reciprocal bases, rotations and lists of Miller indices.

Cartesian crystal frame: x along a, z along c* (y completes the right-handed set). B takes hkl to Å⁻¹, no 2π:
g = B h (Busing & Levy, Acta Cryst. 22 (1967) 457, with their choice of axes turned into this one).
"""

from __future__ import annotations

import gemmi
import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.model.crystal import Cell

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def direct_matrix(cell: Cell) -> Floats:
    """Columns a, b, c in Å in the Cartesian crystal frame; (3, 3)."""
    return np.array(gemmi.UnitCell(*cell.parameters).orth.mat.tolist(), dtype=np.float64)


def reciprocal_matrix(cell: Cell) -> Floats:
    """B: columns a*, b*, c* in Å⁻¹ in the Cartesian crystal frame; (3, 3)."""
    return np.asarray(np.linalg.inv(direct_matrix(cell)).T)


def cell_volume_angstrom3(cell: Cell) -> float:
    """Volume of the cell in Å³."""
    return float(np.linalg.det(direct_matrix(cell)))


def cell_from_reciprocal_matrix(ub: ArrayLike) -> Cell:
    """Cell parameters of the lattice whose reciprocal basis vectors are the columns of ``ub`` (Å⁻¹)."""
    metric = np.linalg.inv(np.asarray(ub, dtype=np.float64).T @ np.asarray(ub, dtype=np.float64))
    lengths = np.sqrt(np.diag(metric))

    def angle(i: int, j: int) -> float:
        return float(np.degrees(np.arccos(np.clip(metric[i, j] / (lengths[i] * lengths[j]), -1.0, 1.0))))

    a, b, c = (float(v) for v in lengths)
    alpha, beta, gamma = angle(1, 2), angle(0, 2), angle(0, 1)
    return Cell(a_angstrom=a, b_angstrom=b, c_angstrom=c, alpha_deg=alpha, beta_deg=beta, gamma_deg=gamma)


def rotation_matrix(*, axis: ArrayLike, angle_deg: float) -> Floats:
    """Right-handed rotation by ``angle_deg`` about ``axis`` (any length > 0); Rodrigues' formula; (3, 3)."""
    n = np.asarray(axis, dtype=np.float64)
    n = n / np.linalg.norm(n)
    cross = np.array([[0.0, -n[2], n[1]], [n[2], 0.0, -n[0]], [-n[1], n[0], 0.0]])
    angle = np.radians(angle_deg)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross)


def tilt_axis_vector(tilt_axis_deg: float) -> Floats:
    """Unit vector of the tilt axis in the laboratory: (cos φ, sin φ, 0), φ from x (fast) towards y (slow)."""
    phi = np.radians(tilt_axis_deg)
    return np.array([np.cos(phi), np.sin(phi), 0.0])


def miller_indices(*, reciprocal: ArrayLike, g_max_per_angstrom: float) -> Ints:
    """All hkl with |B h| ≤ g_max, (0,0,0) first, then by length; (n, 3). Systematic absences are kept."""
    b = np.asarray(reciprocal, dtype=np.float64)
    limits = np.floor(g_max_per_angstrom * np.linalg.norm(np.linalg.inv(b), axis=1)).astype(int)
    axes = [np.arange(-n, n + 1) for n in limits]
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    length = np.linalg.norm(hkl @ b.T, axis=1)
    keep = length <= g_max_per_angstrom
    hkl, length = hkl[keep], length[keep]
    return np.asarray(hkl[np.lexsort((hkl[:, 2], hkl[:, 1], hkl[:, 0], np.round(length, 9)))], dtype=np.int64)
