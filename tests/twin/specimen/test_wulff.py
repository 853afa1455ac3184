"""Polyhedra: symmetry of the crystal, volume from the thickness map, limits that other shapes know."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twin.files.errors import InputError
from twin.model.crystal import Cell
from twin.model.specimen import Particle
from twin.physics.lattice import rotation_matrix
from twin.specimen.shapes import (
    columns,
    lateral_extent_angstrom,
    maximum_thickness_angstrom,
    projected_area_angstrom2,
    volume_angstrom3,
)
from twin.specimen.wulff import Face, polyhedron, wulff_half_spaces


def cell(a: float, b: float, c: float, gamma: float = 90.0) -> Cell:
    return Cell(a_angstrom=a, b_angstrom=b, c_angstrom=c, alpha_deg=90.0, beta_deg=90.0, gamma_deg=gamma)


CUBIC = cell(10.0, 10.0, 10.0)
TURN = rotation_matrix(axis=[0.3, -0.5, 0.8], angle_deg=37.0) @ rotation_matrix(axis=[1.0, 0.2, 0.1], angle_deg=71.0)


def particle(faces: list[Face], *, diameter_nm: float = 10.0, hall: str = "-P 4 2 3", where: Cell = CUBIC) -> Particle:
    return polyhedron(half_spaces=wulff_half_spaces(faces=faces, cell=where, hall=hall, diameter_nm=diameter_nm))


def thickness_map(body: Particle, turn: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    half_x, half_y = lateral_extent_angstrom(particle=body, axes_lab=turn)
    step = (np.arange(count) + 0.5) / count * 2.0 - 1.0
    cut = columns(
        particle=body, axes_lab=turn, x_angstrom=half_x * step[None, :], y_angstrom=half_y * step[:, None]
    )
    return cut.thickness_angstrom, 4.0 * half_x * half_y / count**2


def test_cube_is_a_box() -> None:
    cube = particle([((1, 0, 0), 1.0)])
    edge = (math.pi / 6.0) ** (1.0 / 3.0) * 10.0
    box = Particle(shape="box", size_nm=(edge, edge, edge))
    assert cube.size_nm == pytest.approx(box.size_nm)
    mine, _ = thickness_map(cube, TURN, 200)
    theirs, _ = thickness_map(box, TURN, 200)
    np.testing.assert_allclose(mine, theirs, atol=1e-9)
    assert volume_angstrom3(cube) == pytest.approx(volume_angstrom3(box))
    assert projected_area_angstrom2(particle=cube, axes_lab=TURN) == pytest.approx(
        projected_area_angstrom2(particle=box, axes_lab=TURN)
    )
    assert maximum_thickness_angstrom(particle=cube, axes_lab=TURN) == pytest.approx(mine.max(), rel=0.02)


@pytest.mark.parametrize(
    ("faces", "hall", "where", "count"),
    [
        ([((1, 1, 1), 1.0), ((1, 0, 0), 1.1)], "-P 4 2 3", CUBIC, 14),
        ([((1, 0, 1), 1.0), ((0, 0, 1), 1.3)], "-I 4bd 2", cell(3.784, 3.784, 9.512), 10),
        ([((1, 0, 0), 1.0), ((1, 0, 1), 1.2), ((0, 1, 1), 1.1)], 'P 31 2"', cell(4.91, 4.91, 5.4, 120.0), 18),
        ([((1, 1, 1), 1.0), ((-1, -1, -1), 1.5)], "P -4 2 3", CUBIC, 8),
    ],
)
def test_volume_of_the_thickness_map(faces: list[Face], hall: str, where: Cell, count: int) -> None:
    body = particle(faces, hall=hall, where=where)
    assert len(body.half_spaces) == count  # the forms of the point group
    assert volume_angstrom3(body) == pytest.approx(math.pi / 6.0 * 100.0**3)
    t, area = thickness_map(body, TURN, 400)
    assert t.sum() * area == pytest.approx(volume_angstrom3(body), rel=1e-3)
    assert (t > 0).sum() * area == pytest.approx(projected_area_angstrom2(particle=body, axes_lab=TURN), rel=3e-3)


def test_polyhedron_has_the_symmetry_of_the_crystal() -> None:
    """A hexagonal prism looks alike after 60° about c, not after 30°."""
    where = cell(5.0, 5.0, 8.0, 120.0)
    body = particle([((1, 0, 0), 1.0), ((0, 0, 1), 1.4), ((1, 0, 2), 1.2)], hall="-P 6 2", where=where)
    one, _ = thickness_map(body, np.eye(3), 150)
    half = lateral_extent_angstrom(particle=body, axes_lab=np.eye(3))
    step = (np.arange(150) + 0.5) / 150 * 2.0 - 1.0
    grid = {"x_angstrom": half[0] * step[None, :], "y_angstrom": half[1] * step[:, None]}
    for angle, same in ((60.0, True), (30.0, False)):
        turn = rotation_matrix(axis=[0.0, 0.0, 1.0], angle_deg=angle)
        other = columns(particle=body, axes_lab=turn, **grid).thickness_angstrom
        assert (np.abs(other - one).max() < 1e-6) == same


def test_tetrahedron_has_no_centre() -> None:
    body = particle([((1, 1, 1), 1.0)], hall="P -4 2 3")
    t, _ = thickness_map(body, TURN, 100)
    assert np.abs(t - t[::-1, ::-1]).max() > 0.1 * t.max()
    assert len(body.half_spaces) == 4


def test_faces_beyond_the_others_change_nothing() -> None:
    octahedron = particle([((1, 1, 1), 1.0)])
    with_far = particle([((1, 1, 1), 1.0), ((1, 0, 0), 5.0)])
    one, _ = thickness_map(octahedron, TURN, 80)
    two, _ = thickness_map(with_far, TURN, 80)
    np.testing.assert_allclose(one, two, atol=1e-9)


@pytest.mark.parametrize(
    ("faces", "hall"),
    [
        ([], "-P 4 2 3"),
        ([((0, 0, 0), 1.0)], "-P 4 2 3"),
        ([((1, 0, 0), 0.0)], "-P 4 2 3"),
        ([((0, 0, 1), 1.0)], "-P 4 2"),
    ],
)
def test_bad_faces_are_refused(faces: list[Face], hall: str) -> None:
    with pytest.raises(InputError):
        wulff_half_spaces(faces=faces, cell=CUBIC, hall=hall, diameter_nm=10.0)
