"""The map of all pixels shows the lattice where it is, and nothing where no frame has been."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from pipeline.reduction.reciprocal_map import SCALE, ReciprocalMap, reciprocal_map
from scenarios.reduction import _write_space


@pytest.fixture(scope="module")
def space(made, reduced) -> ReciprocalMap:
    return reciprocal_map(dataset=made.dataset, geometry=reduced.fit.geometry, g_max_per_angstrom=1.0)


def _at(space: ReciprocalMap, hkl: np.ndarray, shift: float) -> np.ndarray:
    voxel = np.rint((hkl + shift) * space.per_index).astype(int) + space.middle
    inside = np.all((voxel >= 0) & (voxel < space.values.shape), axis=1)
    return np.asarray(space.values[tuple(voxel[inside].T)])


def test_strong_reflections_stand_on_whole_indices(space, reduced) -> None:
    r = reduced.reflections
    length = np.linalg.norm(r.hkl @ reduced.orientation.ub.T, axis=1)
    both = np.unique(r.hkl[(length < 0.9) & (r.intensity > np.quantile(r.intensity, 0.95))], axis=0)
    on, between = _at(space, both, 0.0), _at(space, both, 0.5)
    on, between = on[np.isfinite(on)], between[np.isfinite(between)]
    assert len(on) > 20
    assert np.median(on) > 20 * abs(np.median(between)) + 10


def test_where_no_frame_has_been_is_nan(space, made) -> None:
    """The missing wedge, 120° of 180° are not covered by 30 frames of 2°."""
    share = np.isfinite(space.values).mean()
    assert 0.1 < share < 0.7


def test_sections_go_through_the_direct_beam(space) -> None:
    for axis in range(3):
        part = space.section(axis)
        assert part.shape == tuple(n for k, n in enumerate(space.values.shape) if k != axis)
        assert np.nanmax(part) > 0


def test_the_file_has_the_geometry_of_the_reciprocal_cell(space, reduced, tmp_path) -> None:
    _write_space(tmp_path / "map.ccp4", space)
    grid = gemmi.read_ccp4_map(str(tmp_path / "map.ccp4")).grid
    assert (grid.nu, grid.nv, grid.nw) == space.values.shape
    star = np.linalg.norm(reduced.orientation.ub, axis=0)
    assert grid.unit_cell.a * SCALE * space.per_index / grid.nu == pytest.approx(star[0], rel=1e-4)
    assert np.array(grid, copy=False).sum() == pytest.approx(float(np.nansum(space.values)), rel=1e-4)
