"""Thickness of convex particles along the beam, column by column, analytically.

Every shape is cut by the vertical line through (x, y): an ellipsoid by its quadratic form, a box and a rod by slabs
(three pairs of planes; one pair and a round wall), a polyhedron by the planes of its faces. Lengths in Å, the
particle's centre at the origin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import ConvexHull, HalfspaceIntersection

from twin.model.crystal import Cell
from twin.model.specimen import HalfSpace, Particle
from twin.physics.lattice import Floats, direct_matrix

_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """Entrance and exit heights z_in ≤ z_out in Å (z along the beam) of columns; equal where there is no particle."""

    z_in_angstrom: Floats
    z_out_angstrom: Floats

    @property
    def thickness_angstrom(self) -> Floats:
        return self.z_out_angstrom - self.z_in_angstrom

    @property
    def middle_angstrom(self) -> Floats:
        return 0.5 * (self.z_in_angstrom + self.z_out_angstrom)


def body_axes(particle: Particle, cell: Cell) -> Floats:
    """(3, 3), columns: the particle's own axes in the crystal's Cartesian frame; see :func:`axes_in_crystal`."""
    return axes_in_crystal(particle.axis_uvw, cell)


def axes_in_crystal(axis_uvw: tuple[float, float, float], cell: Cell) -> Floats:
    """(3, 3), columns: axes of a particle in the crystal's Cartesian frame.

    The third is along ``axis_uvw``, the first is a made perpendicular to it (b where a is parallel to the third).
    """
    direct = direct_matrix(cell)
    third = direct @ np.asarray(axis_uvw, dtype=np.float64)
    third /= np.linalg.norm(third)
    for candidate in (direct[:, 0], direct[:, 1]):
        first = candidate - (candidate @ third) * third
        if np.linalg.norm(first) > 0.1 * np.linalg.norm(candidate):
            first /= np.linalg.norm(first)
            return np.stack([first, np.cross(third, first), third], axis=1)
    raise ValueError("the cell has no axis that is not along axis_uvw")


def columns(*, particle: Particle, axes_lab: ArrayLike, x_angstrom: ArrayLike, y_angstrom: ArrayLike) -> Columns:
    """Heights where the lines (x, y) enter and leave the particle; shapes of x and y broadcast.

    axes_lab: (3, 3), columns the particle's axes in the laboratory (rotation · mounting · body_axes).
    """
    q = np.asarray(axes_lab, dtype=np.float64)
    x, y = np.broadcast_arrays(np.asarray(x_angstrom, dtype=np.float64), np.asarray(y_angstrom, dtype=np.float64))
    half = 5.0 * np.asarray(particle.size_nm, dtype=np.float64)  # nm full size -> Å half size
    if particle.shape in ("sphere", "ellipsoid"):
        low, high = _ellipsoid(q, half, x, y)
    elif particle.shape == "box":
        low, high = _intersect(*(_slab(q[:, k], half[k], x, y) for k in range(3)))
    elif particle.shape == "polyhedron":
        low, high = _clipped(particle.half_spaces, q, x, y)
    else:
        low, high = _intersect(_round_wall(q[:, 2], half[0], x, y), _slab(q[:, 2], half[2], x, y))
    miss = high <= low
    middle = np.where(miss, 0.0, 0.5 * (low + high))
    extent = np.where(miss, 0.0, high - low)
    return Columns(z_in_angstrom=middle - 0.5 * extent, z_out_angstrom=middle + 0.5 * extent)


def lateral_extent_angstrom(*, particle: Particle, axes_lab: ArrayLike) -> tuple[float, float]:
    """Half widths of the particle's shadow along x and y in Å."""
    q = np.asarray(axes_lab, dtype=np.float64)
    half = 5.0 * np.asarray(particle.size_nm, dtype=np.float64)
    if particle.shape in ("sphere", "ellipsoid"):
        reach = np.sqrt((q[:2] ** 2) @ half**2)
    elif particle.shape == "box":
        reach = np.abs(q[:2]) @ half
    elif particle.shape == "polyhedron":
        reach = np.abs(polyhedron_vertices_angstrom(particle.half_spaces) @ q[:2].T).max(axis=0)
    else:
        reach = half[0] * np.sqrt(np.maximum(0.0, 1.0 - q[:2, 2] ** 2)) + half[2] * np.abs(q[:2, 2])
    return float(reach[0]), float(reach[1])


def maximum_thickness_angstrom(*, particle: Particle, axes_lab: ArrayLike) -> float:
    """Thickest column in Å, on 65 × 65 lines of which one goes through the centre."""
    half_x, half_y = lateral_extent_angstrom(particle=particle, axes_lab=axes_lab)
    step = np.linspace(-1.0, 1.0, 65)
    cut = columns(
        particle=particle, axes_lab=axes_lab, x_angstrom=half_x * step[None, :], y_angstrom=half_y * step[:, None]
    )
    return float(cut.thickness_angstrom.max())


def volume_angstrom3(particle: Particle) -> float:
    """Volume in Å³."""
    if particle.shape == "polyhedron":
        return float(ConvexHull(polyhedron_vertices_angstrom(particle.half_spaces)).volume)
    a, b, c = (10.0 * v for v in particle.size_nm)
    if particle.shape in ("sphere", "ellipsoid"):
        return math.pi / 6.0 * a * b * c
    return a * b * c if particle.shape == "box" else math.pi / 4.0 * a * a * c


def projected_area_angstrom2(*, particle: Particle, axes_lab: ArrayLike) -> float:
    """Area of the shadow: Cauchy's formula for the box, the ellipse's axes, caps plus wall for the rod, a hull."""
    q = np.asarray(axes_lab, dtype=np.float64)
    if particle.shape == "polyhedron":  # what qhull calls the volume of a plane figure is its area
        return float(ConvexHull(polyhedron_vertices_angstrom(particle.half_spaces) @ q[:2].T).volume)
    a, b, c = (5.0 * v for v in particle.size_nm)
    nx, ny, nz = (float(v) for v in q[2])
    if particle.shape in ("sphere", "ellipsoid"):
        return math.pi * math.sqrt((b * c * nx) ** 2 + (a * c * ny) ** 2 + (a * b * nz) ** 2)
    if particle.shape == "box":
        return 4.0 * (b * c * abs(nx) + a * c * abs(ny) + a * b * abs(nz))
    return math.pi * a * a * abs(nz) + 4.0 * a * c * math.sqrt(max(0.0, 1.0 - nz * nz))


@lru_cache(maxsize=64)
def polyhedron_vertices_angstrom(half_spaces: tuple[HalfSpace, ...]) -> Floats:
    """Corners (n, 3) in the particle's own axes; the origin must be inside."""
    planes = np.array(half_spaces, dtype=np.float64)
    planes[:, 3] *= -10.0
    corners = HalfspaceIntersection(planes, np.zeros(3)).intersections
    corners.setflags(write=False)
    return np.asarray(corners)


Interval = tuple[Floats, Floats]


def _clipped(half_spaces: tuple[HalfSpace, ...], q: Floats, x: Floats, y: Floats) -> Interval:
    planes = np.array(half_spaces, dtype=np.float64)
    low, high = np.empty(x.shape), np.empty(x.shape)
    _clip(planes[:, :3] @ q.T, 10.0 * planes[:, 3], x.ravel(), y.ravel(), low.reshape(-1), high.reshape(-1))
    return low, high


@numba.njit(cache=True)
def _clip(normals: Floats, distance: Floats, x: Floats, y: Floats, low: Floats, high: Floats) -> None:
    """Heights inside all half-spaces n · r ≤ d; low > high where a line misses the body."""
    for i in range(x.size):
        bottom, top = -np.inf, np.inf
        for k in range(distance.size):
            rest = distance[k] - normals[k, 0] * x[i] - normals[k, 1] * y[i]
            along = normals[k, 2]
            if along > _TINY:
                top = min(top, rest / along)
            elif along < -_TINY:
                bottom = max(bottom, rest / along)
            elif rest < 0.0:
                top, bottom = -1.0, 1.0
                break
        if not bottom < top:
            bottom, top = 0.0, 0.0
        low[i], high[i] = bottom, top


def _ellipsoid(q: Floats, half: Floats, x: Floats, y: Floats) -> Interval:
    form = q @ np.diag(1.0 / half**2) @ q.T
    b = (form[0, 2] * x + form[1, 2] * y) / form[2, 2]
    c = (form[0, 0] * x**2 + 2 * form[0, 1] * x * y + form[1, 1] * y**2 - 1.0) / form[2, 2]
    root = np.sqrt(np.maximum(b**2 - c, 0.0))
    return -b - root, -b + root


def _slab(normal: Floats, half: float, x: Floats, y: Floats) -> Interval:
    """Heights with |normal · r| ≤ half."""
    offset = normal[0] * x + normal[1] * y
    if abs(normal[2]) < _TINY:
        inside = np.abs(offset) <= half
        return np.where(inside, -np.inf, np.inf), np.where(inside, np.inf, -np.inf)
    ends = (-half - offset) / normal[2], (half - offset) / normal[2]
    return np.minimum(*ends), np.maximum(*ends)


def _round_wall(axis: Floats, radius: float, x: Floats, y: Floats) -> Interval:
    """Heights inside the infinite cylinder: |r|² − (axis · r)² ≤ radius²."""
    along = axis[0] * x + axis[1] * y
    across = 1.0 - axis[2] ** 2
    if across < _TINY:
        inside = x**2 + y**2 <= radius**2
        return np.where(inside, -np.inf, np.inf), np.where(inside, np.inf, -np.inf)
    b = -axis[2] * along / across
    c = (x**2 + y**2 - along**2 - radius**2) / across
    root2 = b**2 - c
    root = np.sqrt(np.maximum(root2, 0.0))
    return np.where(root2 > 0, -b - root, np.inf), np.where(root2 > 0, -b + root, -np.inf)


def _intersect(*intervals: Interval) -> Interval:
    low = np.maximum.reduce([i[0] for i in intervals])
    high = np.minimum.reduce([i[1] for i in intervals])
    miss = ~(high > low)
    return np.where(miss, 0.0, low), np.where(miss, 0.0, high)
