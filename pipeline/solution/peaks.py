"""Peaks of a density, snapped to the special positions of a group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates, maximum_filter

from twin.physics.lattice import Floats, Ints
from twin.physics.symmetry import Operations

SNAP_ANGSTROM = 0.5
_IMAGES = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(27, 3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PeakList:
    """Independent peaks, highest first: fract (n, 3), height (n,), multiplicity (n,)."""

    fract: Floats
    height: Floats
    multiplicity: Ints


def distances(x: Floats, others: Floats, direct: Floats) -> Floats:
    """Shortest distances in Å from x (3,) to points (m, 3), over lattice images; (m,)."""
    difference = others - x
    difference -= np.round(difference)
    cartesian = difference @ direct.T
    images = _IMAGES @ direct.T
    # |d + L|² = |d|² + 2 d·L + |L|²
    cross = (2.0 * cartesian @ images.T + np.einsum("ij,ij->i", images, images)).min(axis=1)
    return np.asarray(np.sqrt(np.maximum(np.einsum("ij,ij->i", cartesian, cartesian) + cross, 0.0)))


def snap(
    x: Floats, ops: Operations, direct: Floats, *, tolerance_angstrom: float = SNAP_ANGSTROM
) -> tuple[Floats, int]:
    """Nearest position of full site symmetry within the tolerance, and its multiplicity."""
    stabiliser = 1
    for _ in range(3):
        shift = ops.rotations @ x + ops.translations - x
        shift -= np.round(shift)
        near = np.linalg.norm(shift @ direct.T, axis=1) < tolerance_angstrom
        x = x + shift[near].mean(axis=0)
        stabiliser = int(near.sum())
        tolerance_angstrom *= 0.7
    shift = ops.rotations @ x + ops.translations - x
    shift -= np.round(shift)
    stabiliser = int((np.linalg.norm(shift @ direct.T, axis=1) < 1e-3).sum())
    return np.asarray(x % 1.0), len(ops) // stabiliser


def orbit_of(x: Floats, ops: Operations) -> Floats:
    """All images (with repeats on special positions); (n, 3)."""
    return np.asarray((ops.rotations @ x + ops.translations) % 1.0)


def local_maxima(rho: Floats, *, count: int) -> tuple[Floats, Floats]:
    """Highest maxima with parabolic interpolation along the axes: (positions in voxels (n, 3), heights (n,))."""
    top = np.flatnonzero((rho == maximum_filter(rho, size=3, mode="wrap")) & (rho > 0))
    values = rho.reshape(-1)[top]
    order = np.argsort(-values, kind="stable")[:count]
    at = np.stack(np.unravel_index(top[order], rho.shape), axis=1)
    height = values[order].copy()
    position = at.astype(np.float64)
    shape = np.array(rho.shape)
    for axis in range(3):
        step = np.zeros(3, dtype=np.int64)
        step[axis] = 1
        low, high = (rho[tuple(((at + s * step) % shape).T)] for s in (-1, 1))
        curvature = low + high - 2.0 * values[order]
        offset = np.where(curvature < 0, 0.5 * (low - high) / np.minimum(curvature, -1e-30), 0.0)
        offset = np.clip(offset, -0.5, 0.5)
        position[:, axis] += offset
        height -= 0.25 * (low - high) * offset
    return position, height


def find_peaks(
    rho: Floats, *, basis: Floats, ops: Operations, direct: Floats, wanted: int, apart_angstrom: float = 0.6
) -> PeakList:
    """Independent peaks of a density on a grid of the primitive cell (``basis``: its vectors, conventional)."""
    position, height = local_maxima(rho, count=6 * wanted * max(1, len(ops) // 2))
    fract, heights, multiplicities = [], [], []
    taken = np.zeros((0, 3))
    shape = np.array(rho.shape)
    back = np.linalg.inv(basis)
    for voxel, value in zip(position, height, strict=True):
        x = basis @ (voxel / shape)
        if len(taken) and distances(x, taken, direct).min() < apart_angstrom:
            continue
        x, multiplicity = snap(x, ops, direct)
        at = ((back @ x) % 1.0) * shape
        snapped = float(map_coordinates(rho, at[:, None], order=1, mode="grid-wrap")[0])
        fract.append(x)
        heights.append(min(float(value), max(snapped, 0.3 * float(value)) * 1.1))
        multiplicities.append(multiplicity)
        taken = np.concatenate([taken, orbit_of(x, ops)])
        if len(fract) >= wanted:
            break
    order = np.argsort(-np.array(heights), kind="stable")
    return PeakList(fract=np.array(fract).reshape(-1, 3)[order], height=np.array(heights)[order],
                    multiplicity=np.array(multiplicities, dtype=np.int64)[order])  # fmt: skip
