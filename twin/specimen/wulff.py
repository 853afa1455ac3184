"""Polyhedra from the surface energies of their faces (Wulff, Z. Kristallogr. 34 (1901) 449).

A face {hkl} stands for all its images under the point group. The particle is what lies within the distance of every
face, distances in proportion to the surface energies, scaled to a size: the diameter of the sphere of equal volume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog
from scipy.spatial import ConvexHull

from twin.files.errors import InputError
from twin.model.crystal import Cell
from twin.model.specimen import HalfSpace, Matrix3, Particle
from twin.physics.lattice import Floats, reciprocal_matrix
from twin.physics.symmetry import point_rotations
from twin.specimen.shapes import axes_in_crystal, polyhedron_vertices_angstrom

Face = tuple[tuple[int, int, int], float]
UNTURNED: Matrix3 = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def wulff_half_spaces(
    *,
    faces: Sequence[Face],
    cell: Cell,
    hall: str,
    diameter_nm: float,
    axis_uvw: tuple[float, float, float] = (0.0, 0.0, 1.0),
) -> tuple[HalfSpace, ...]:
    """Half-spaces (outward unit normal in the particle's own axes, distance in nm) of a Wulff polyhedron.

    faces: ((h, k, l), relative surface energy). diameter_nm: of the sphere of equal volume.
    """
    normals, distances = _expanded(faces, cell, hall)
    normals = normals @ axes_in_crystal(axis_uvw, cell)  # rows; to the particle's own axes
    planes = np.column_stack([normals, distances])
    _require_closed(normals)
    raw = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in planes)
    volume_nm3 = float(ConvexHull(polyhedron_vertices_angstrom(raw)).volume) / 1000.0
    scale = diameter_nm / (6.0 / math.pi * volume_nm3) ** (1.0 / 3.0)
    return tuple((a, b, c, scale * d) for a, b, c, d in raw)


def polyhedron(
    *,
    half_spaces: tuple[HalfSpace, ...],
    axis_uvw: tuple[float, float, float] = (0.0, 0.0, 1.0),
    mounting: Matrix3 = UNTURNED,
    mosaicity_deg: float = 0.0,
    bending_deg_per_nm: float = 0.0,
) -> Particle:
    """The particle with these faces; ``size_nm`` is the centred box that holds it."""
    extent = 0.2 * np.abs(polyhedron_vertices_angstrom(half_spaces)).max(axis=0)
    return Particle(
        shape="polyhedron",
        size_nm=(float(extent[0]), float(extent[1]), float(extent[2])),
        axis_uvw=axis_uvw,
        mounting=mounting,
        mosaicity_deg=mosaicity_deg,
        bending_deg_per_nm=bending_deg_per_nm,
        half_spaces=half_spaces,
    )


def _expanded(faces: Sequence[Face], cell: Cell, hall: str) -> tuple[Floats, Floats]:
    """Unit normals (n, 3) in the crystal's Cartesian frame and distances (n,) of all images of the faces."""
    if not faces:
        raise InputError("a polyhedron needs faces")
    b = reciprocal_matrix(cell)
    least: dict[tuple[int, ...], float] = {}
    for hkl, energy in faces:
        if not any(hkl) or not (math.isfinite(energy) and energy > 0.0):
            raise InputError(f"face {hkl} with surface energy {energy}: not [0, 0, 0], and an energy above 0")
        divisor = math.gcd(*hkl)
        reduced = np.array(hkl, dtype=np.int64) // divisor
        for image in np.einsum("i,nij->nj", reduced, point_rotations(hall, friedel=False)):
            key = tuple(int(v) for v in image)
            least[key] = min(energy, least.get(key, math.inf))
    normals = np.array(list(least), dtype=np.float64) @ b.T
    return normals / np.linalg.norm(normals, axis=1, keepdims=True), np.array(list(least.values()))


def _require_closed(normals: Floats) -> None:
    """The faces enclose a body if no direction leaves all of them behind."""
    for axis in range(3):
        for sign in (-1.0, 1.0):
            objective = np.zeros(3)
            objective[axis] = sign
            if linprog(objective, A_ub=normals, b_ub=np.ones(len(normals)), bounds=(None, None)).status != 0:
                raise InputError("the faces and their symmetry images do not close a body; add a form of faces")
