"""Space-group operations as arrays, from Hall symbols through gemmi.

An operation acts on fractional coordinates as x' = R x + t and on Miller indices (row vectors) as h' = h R, with
F(h R) = F(h) exp(−2πi h·t) (Hall, Acta Cryst. A37 (1981) 517; International Tables B, chapter 1.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

COORDINATE_TOLERANCE = 1e-4  # fractional; two images closer than this are one atom


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operations:
    """rotations (n, 3, 3) integers, translations (n, 3) in [0, 1)."""

    rotations: Ints
    translations: Floats

    def __len__(self) -> int:
        return len(self.rotations)


def _as_operations(ops: list[gemmi.Op]) -> Operations:
    rotations = np.array([op.rot for op in ops], dtype=np.int64).reshape(-1, 3, 3) // gemmi.Op.DEN
    translations = np.array([op.tran for op in ops], dtype=np.float64).reshape(-1, 3) / gemmi.Op.DEN
    return Operations(rotations=rotations, translations=translations % 1.0)


@lru_cache(maxsize=512)
def operations(hall: str) -> Operations:
    """All operations of the group, centring copies included; the identity comes first."""
    return _as_operations(list(gemmi.symops_from_hall(hall)))


@lru_cache(maxsize=512)
def primitive_operations(hall: str) -> Operations:
    """One operation for each rotation part (no centring copies)."""
    return _as_operations(list(gemmi.symops_from_hall(hall).sym_ops))


@lru_cache(maxsize=512)
def centring_vectors(hall: str) -> Floats:
    """Centring translations, (m, 3), (0, 0, 0) first."""
    return np.array(gemmi.symops_from_hall(hall).cen_ops, dtype=np.float64) / gemmi.Op.DEN


def is_centrosymmetric(hall: str) -> bool:
    """Whether −1 is among the rotation parts."""
    return bool(np.any(np.all(primitive_operations(hall).rotations == -np.eye(3, dtype=np.int64), axis=(1, 2))))


@lru_cache(maxsize=512)
def point_rotations(hall: str, *, friedel: bool) -> Ints:
    """Distinct rotation parts (n, 3, 3); with ``friedel`` the inversion is added (the Laue group)."""
    rotations = primitive_operations(hall).rotations
    if friedel and not is_centrosymmetric(hall):
        rotations = np.concatenate([rotations, -rotations])
    return rotations


@lru_cache(maxsize=512)
def laue_hall(hall: str) -> str:
    """Hall symbol of the primitive, symmorphic, centrosymmetric group with the Laue class of ``hall`` in its axes."""
    wanted = {r.tobytes() for r in point_rotations(hall, friedel=True)}
    for group in gemmi.spacegroup_table():
        if not group.is_centrosymmetric() or group.centring_type() != "P" or not group.is_symmorphic():
            continue
        found = primitive_operations(group.hall)
        if len(found) == len(wanted) and {r.tobytes() for r in found.rotations} == wanted:
            return str(group.hall)
    raise ValueError(f"no primitive symmorphic setting has the Laue class of Hall symbol '{hall}' in its axes")


def systematically_absent(hkl: ArrayLike, hall: str) -> Bools:
    """True where centring, screw axes or glide planes force F = 0; hkl (n, 3) -> (n,)."""
    h = np.asarray(hkl, dtype=np.int64).reshape(-1, 3)
    ops = operations(hall)
    turned = np.einsum("ni,kij->nkj", h, ops.rotations)
    same = np.all(turned == h[:, None, :], axis=2)
    phase = h @ ops.translations.T
    return np.asarray(np.any(same & (np.abs(phase - np.round(phase)) > 1e-6), axis=1))


def asymmetric_hkl(hkl: ArrayLike, hall: str, *, friedel: bool = True) -> Ints:
    """One representative of each reflection's equivalents (the lexicographically largest); (n, 3) -> (n, 3)."""
    h = np.asarray(hkl, dtype=np.int64).reshape(-1, 3)
    if len(h) == 0:
        return h
    turned = np.einsum("ni,kij->nkj", h, point_rotations(hall, friedel=friedel))
    base = 4 * int(np.abs(h).max()) + 1
    key = (turned[..., 0] * base + turned[..., 1]) * base + turned[..., 2]
    return np.asarray(np.take_along_axis(turned, key.argmax(axis=1)[:, None, None], axis=1)[:, 0, :])


def _distinct_images(fract: Floats, ops: Operations) -> tuple[Floats, Ints]:
    """Images of a position in [0, 1) without repeats, and the operation that made each."""
    images = (ops.rotations @ fract + ops.translations) % 1.0
    difference = images[:, None, :] - images[None, :, :]
    difference -= np.round(difference)
    same = np.all(np.abs(difference) < COORDINATE_TOLERANCE, axis=2)
    first = same.argmax(axis=1) == np.arange(len(images))
    return images[first], np.flatnonzero(first)


def orbit(fract: ArrayLike, hall: str) -> Floats:
    """Distinct equivalent positions in the unit cell, (m, 3); m is the multiplicity of the site."""
    return _distinct_images(np.asarray(fract, dtype=np.float64), operations(hall))[0]


def orbit_with_operations(fract: ArrayLike, hall: str) -> tuple[Floats, Ints]:
    """Like :func:`orbit`, with the index into ``operations(hall)`` that makes each position."""
    return _distinct_images(np.asarray(fract, dtype=np.float64), operations(hall))


def site_multiplicity(fract: ArrayLike, hall: str) -> int:
    """Number of equivalent positions in the unit cell."""
    return len(orbit(fract, hall))


def stabiliser(fract: ArrayLike, hall: str) -> Operations:
    """Operations that map the position to itself, with the lattice translation folded into their translation parts."""
    x = np.asarray(fract, dtype=np.float64)
    ops = operations(hall)
    shift = ops.rotations @ x + ops.translations - x
    lattice = np.round(shift)
    fixed = np.all(np.abs(shift - lattice) < COORDINATE_TOLERANCE, axis=1)
    return Operations(rotations=ops.rotations[fixed], translations=(ops.translations - lattice)[fixed])
