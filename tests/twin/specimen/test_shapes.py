"""Thickness maps: volume, shadow, special orientations."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.model.crystal import Cell
from twin.model.specimen import Particle
from twin.physics.lattice import direct_matrix, rotation_matrix
from twin.specimen.mounting import random_mounting
from twin.specimen.shapes import (
    body_axes,
    columns,
    lateral_extent_angstrom,
    projected_area_angstrom2,
    volume_angstrom3,
)
from twin.specimen.streams import stream

Shape = Literal["sphere", "ellipsoid", "rod", "box"]
SIZES: dict[Shape, tuple[float, float, float]] = {
    "sphere": (10.0, 10.0, 10.0),
    "ellipsoid": (6.0, 9.0, 15.0),
    "rod": (30.0, 30.0, 70.0),
    "box": (8.0, 11.0, 14.0),
}
N = 400


def mapped(particle: Particle, axes: np.ndarray) -> tuple[np.ndarray, float]:
    half_x, half_y = lateral_extent_angstrom(particle=particle, axes_lab=axes)
    step = (np.arange(N) + 0.5) / N * 2 - 1
    x, y = half_x * step[None, :], half_y * step[:, None]
    cut = columns(particle=particle, axes_lab=axes, x_angstrom=x, y_angstrom=y)
    return cut.thickness_angstrom, 4 * half_x * half_y / N**2


@settings(max_examples=40, deadline=None)
@given(shape=st.sampled_from(list(SIZES)), seed=st.integers(0, 10_000))
def test_map_integrates_to_the_volume_and_covers_the_shadow(shape: Shape, seed: int) -> None:
    particle = Particle(shape=shape, size_nm=SIZES[shape])
    axes = np.array(random_mounting(stream(seed, "mounting")))
    thickness, cell = mapped(particle, axes)
    assert np.all(thickness >= 0)
    assert thickness.sum() * cell == pytest.approx(volume_angstrom3(particle), rel=2e-3)
    shadow = projected_area_angstrom2(particle=particle, axes_lab=axes)
    assert (thickness > 0).sum() * cell == pytest.approx(shadow, rel=5e-3)


def test_nothing_lies_outside_the_lateral_extent() -> None:
    for shape, size in SIZES.items():
        particle = Particle(shape=shape, size_nm=size)
        axes = np.array(random_mounting(stream(5, shape)))
        half_x, half_y = lateral_extent_angstrom(particle=particle, axes_lab=axes)
        far = np.linspace(-600, 600, 301)
        outside = columns(particle=particle, axes_lab=axes, x_angstrom=1.001 * half_x, y_angstrom=far)
        assert outside.thickness_angstrom.max() == 0.0
        outside = columns(particle=particle, axes_lab=axes, x_angstrom=far, y_angstrom=-1.001 * half_y)
        assert outside.thickness_angstrom.max() == 0.0


def test_sphere_is_a_sphere_in_every_orientation() -> None:
    particle = Particle(shape="sphere", size_nm=(10.0, 10.0, 10.0))
    axes = np.array(random_mounting(stream(9, "mounting")))
    r = np.array([0.0, 30.0, 49.0, 51.0])
    cut = columns(particle=particle, axes_lab=axes, x_angstrom=r, y_angstrom=0.0)
    np.testing.assert_allclose(cut.thickness_angstrom, 2 * np.sqrt(np.maximum(50.0**2 - r**2, 0)), atol=1e-9)
    np.testing.assert_allclose(cut.middle_angstrom, 0.0, atol=1e-9)


@pytest.mark.parametrize(("shape", "expected"), [("rod", 700.0), ("box", 140.0)])
def test_flat_faces_give_one_thickness_along_the_axis(shape: Shape, expected: float) -> None:
    particle = Particle(shape=shape, size_nm=SIZES[shape])
    thickness, _ = mapped(particle, np.eye(3))
    np.testing.assert_allclose(thickness[thickness > 0], expected)


def test_columns_of_a_leaning_plate_lean_with_it() -> None:
    """The middle of a plate tilted about y climbs as −tan(angle) x (its normal turns towards +x)."""
    particle = Particle(shape="box", size_nm=(200.0, 200.0, 5.0))
    axes = rotation_matrix(axis=[0, 1, 0], angle_deg=20.0)
    cut = columns(particle=particle, axes_lab=axes, x_angstrom=np.array([-100.0, 100.0]), y_angstrom=0.0)
    np.testing.assert_allclose(cut.middle_angstrom, [100 * np.tan(np.radians(20)), -100 * np.tan(np.radians(20))])
    np.testing.assert_allclose(cut.thickness_angstrom, 50 / np.cos(np.radians(20)))


def test_body_axes_follow_the_crystal() -> None:
    cell = Cell(a_angstrom=5.0, b_angstrom=6.0, c_angstrom=7.0, beta_deg=105.0)
    axes = body_axes(Particle(shape="rod", size_nm=(3, 3, 9), axis_uvw=(0, 0, 1)), cell)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1.0)
    c = direct_matrix(cell)[:, 2]
    np.testing.assert_allclose(axes[:, 2], c / np.linalg.norm(c))
    along_a = body_axes(Particle(shape="rod", size_nm=(3, 3, 9), axis_uvw=(1, 0, 0)), cell)
    np.testing.assert_allclose(along_a[:, 2], [1, 0, 0], atol=1e-12)
