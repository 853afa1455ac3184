"""Reciprocal space in three dimensions, from every pixel of every frame: what a lattice fit may have overlooked shows
in it (twins, superlattices, diffuse scattering, ice).

Pixels above the background are carried to the crystal's frame and averaged on a grid along a*, b* and c*. Nothing is
symmetrised or scaled; where no frame has been, the map is not a number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.reduction.background import bad_on_frame, frame_background
from pipeline.reduction.geometry import Geometry, from_pixels
from twin.model.crystal import Cell
from twin.model.dataset import Dataset
from twin.physics.lattice import cell_from_reciprocal_matrix

Floats = NDArray[np.float64]

MOST_VOXELS = 12e6
FINEST = 8  # voxels for one index
SCALE = 0.1  # Å⁻¹ that 1 Å stands for in the file


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReciprocalMap:
    """Mean counts above background of a pixel, (nh, nk, nl); voxel (i, j, k) is centred at hkl = ((i, j, k) − middle) /
    per_index; ``reciprocal``: (3, 3) columns a*, b*, c* in Å⁻¹."""

    values: NDArray[np.float32]
    per_index: int
    reciprocal: Floats

    @property
    def cell(self) -> Cell:
        """The box of the map as a cell for viewers: 1 Å of it stands for SCALE Å⁻¹."""
        box = self.reciprocal * (np.array(self.values.shape) / self.per_index) / SCALE
        return cell_from_reciprocal_matrix(np.asarray(np.linalg.inv(box.T)))

    @property
    def middle(self) -> NDArray[np.int64]:
        """Voxel of the direct beam (3,)."""
        return np.array(self.values.shape, dtype=np.int64) // 2

    def section(self, axis: int, *, thickness: float = 0.25) -> NDArray[np.float32]:
        """Mean over the voxels with an index |h_axis| ≤ ``thickness``; NaN where none was seen."""
        half = int(thickness * self.per_index)
        own = slice(int(self.middle[axis]) - half, int(self.middle[axis]) + half + 1)
        part = np.moveaxis(self.values, axis, 0)[own]
        seen = np.isfinite(part)
        total = np.where(seen, part, 0.0).sum(axis=0)
        number = seen.sum(axis=0)
        return np.where(number > 0, total / np.maximum(number, 1), np.nan).astype(np.float32)


@njit(cache=True)
def _add(net, bad, table, corner_x, corner_y, turn, per_index, middle, total, number):  # type: ignore[no-untyped-def]
    """Add the pixels of a frame. table: (rows, columns, 3) g in the laboratory by offset from the direct beam, the
    frame's first pixel at (corner_y, corner_x) of it; turn: (3, 3) from the laboratory to indices."""
    for y in range(net.shape[0]):
        for x in range(net.shape[1]):
            if bad[y, x]:
                continue
            g = table[y + corner_y, x + corner_x]
            i = int(np.floor(per_index * (turn[0, 0] * g[0] + turn[0, 1] * g[1] + turn[0, 2] * g[2]) + middle[0] + 0.5))
            j = int(np.floor(per_index * (turn[1, 0] * g[0] + turn[1, 1] * g[1] + turn[1, 2] * g[2]) + middle[1] + 0.5))
            k = int(np.floor(per_index * (turn[2, 0] * g[0] + turn[2, 1] * g[1] + turn[2, 2] * g[2]) + middle[2] + 0.5))
            if 0 <= i < total.shape[0] and 0 <= j < total.shape[1] and 0 <= k < total.shape[2]:
                total[i, j, k] += net[y, x]
                number[i, j, k] += 1


def _shape(ub: Floats, g_max: float) -> tuple[tuple[int, int, int], int]:
    """Voxels along each axis (odd) and voxels for one index, at most MOST_VOXELS in all."""
    direct = np.linalg.norm(np.linalg.inv(ub), axis=1)
    indices = np.ceil(g_max * direct)
    per_index = FINEST
    while per_index > 2 and float(np.prod(2 * indices * per_index + 1)) > MOST_VOXELS:
        per_index -= 1
    n = (2 * indices * per_index + 1).astype(int)
    return (int(n[0]), int(n[1]), int(n[2])), per_index


def reciprocal_map(
    *, dataset: Dataset, geometry: Geometry, g_max_per_angstrom: float, beam_radius_px: float = 5.0
) -> ReciprocalMap:
    """All frames of a tilt series with the orientations, centres and distortions that were found."""
    shape, per_index = _shape(geometry.ub, g_max_per_angstrom)
    total, number = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.int32)
    middle = np.array(shape, dtype=np.float64) // 2
    _, rows, columns = dataset.counts.shape
    corner = np.rint(geometry.centre_px).astype(np.int64)  # half a pixel is a small part of a voxel
    low, high = corner.min(axis=0), corner.max(axis=0)
    x, y = np.meshgrid(np.arange(columns + high[0] - low[0]) - high[0], np.arange(rows + high[1] - low[1]) - high[1])
    offsets = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    table = from_pixels(geometry, offsets + geometry.centre_px[0], 0).reshape(*x.shape, 3)
    indices = np.linalg.inv(geometry.ub)
    for f, rotation in enumerate(geometry.rotation):
        centre = geometry.centre_px[f]
        bad = bad_on_frame(dataset=dataset, frame=f, centre_px=centre, beam_radius_px=beam_radius_px)
        model = frame_background(
            image=dataset.counts[f], bad_pixels=bad, centre_px=(float(centre[0]), float(centre[1]))
        )
        net = (dataset.counts[f] - model).astype(np.float32)
        at = high - corner[f]
        _add(net, bad, table, at[0], at[1], indices @ rotation.T, per_index, middle, total, number)
    seen = number > 0
    values = np.where(seen, total / np.maximum(number, 1), np.nan).astype(np.float32)
    return ReciprocalMap(values=values, per_index=per_index, reciprocal=geometry.ub)
