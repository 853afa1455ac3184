"""The comparisons of multislice: that they tell what they claim to."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from twin.physics.lattice import reciprocal_matrix
from twin.physics.multislice import AtomCloud
from twin.physics.potential import potential_table
from twin.physics.structure_factors import electron_factor
from validation.engines import multislice_abtem
from validation.engines.multislice import Spots, distribution_rows, isolated, same_reflections
from validation.engines.multislice_columns import (
    ColumnAmplitudes,
    along_122,
    crossing_reflections,
    directions_off_zone,
    periodic_slab,
    sphere_of_columns,
)
from validation.engines.multislice_depth import G_MAX, INDIUM, bloch_pattern, compared, slab_pattern
from validation.engines.multislice_slab import slab, slab_bloch, slab_multislice, slab_r1
from validation.engines.problem import ENERGY_KEV, IN2O3
from validation.reference import RUTILE


def test_the_slab_converges_to_bloch_waves_as_both_reach_further() -> None:
    problem = slab(RUTILE, cells=12, g_max_per_angstrom=2.6)
    finest = slab_multislice(problem, points=48, slices=8)
    narrow, _ = slab_r1(problem, slab_bloch(problem, g_max=1.6, s_max=0.2), finest)
    wide, beams = slab_r1(problem, slab_bloch(problem, g_max=2.6, s_max=0.2), finest)
    assert wide < 1.0 < narrow
    assert beams > 100


def test_the_same_plane_waves_give_the_same_whatever_their_number() -> None:
    problem = slab(RUTILE, cells=8, g_max_per_angstrom=1.6)
    bloch = slab_bloch(problem, g_max=1.6, s_max=1.5)
    limited, _ = slab_r1(problem, bloch, slab_multislice(problem, points=36, slices=64, wave_limit=1.6))
    free, _ = slab_r1(problem, bloch, slab_multislice(problem, points=36, slices=64))
    assert limited < 0.3 * free


def test_the_wrong_thickness_shows() -> None:
    problem = slab(RUTILE, cells=12, g_max_per_angstrom=2.0)
    wave = slab_multislice(replace(problem, cells=13), points=48, slices=4)
    value, _ = slab_r1(problem, slab_bloch(problem, g_max=2.0, s_max=0.2), wave)
    assert value > 4.0


def test_a_heavy_atom_needs_beams_far_from_the_sphere() -> None:
    directions = directions_off_zone(1)
    waves = slab_pattern(INDIUM, periods=3, directions=directions)
    table = potential_table(crystal=INDIUM, energy_kev=ENERGY_KEV, g_max_per_angstrom=G_MAX)
    near, far = (
        compared(
            waves,
            bloch_pattern(INDIUM, table=table, periods=3, directions=directions, s_max=s_max, points=len(waves)),
            extent_angstrom=3.0 * INDIUM.cell.a_angstrom,
        )
        for s_max in (0.1, 1.6)
    )
    assert far[1] < 0.5 * near[1]  # R1
    assert near[0] > 2.0 > abs(far[0])  # high angles come out too weak without them


def test_columns_of_a_weak_sphere_hold_what_its_volume_says() -> None:
    radius, t = 40.0, np.arange(0.25, 80.0, 0.5) + 0.25
    s = np.array([[0.0, 0.01]])
    amplitude = 0.001 * t[:, None] * np.sinc(s * t[:, None]) * np.exp(1j * math.pi * s * t[:, None])
    columns = ColumnAmplitudes(
        hkl=np.array([[1, 0, 0], [2, 0, 0]]),
        g_lab=np.zeros((2, 3)),
        excitation_error=s.T,
        thickness_angstrom=t,
        amplitude=amplitude[None].astype(np.complex64),
    )
    whole, disc = sphere_of_columns(columns, radius_angstrom=radius, disc_per_angstrom=1.25 / radius)
    assert whole[0] == pytest.approx(1e-6 * 2.0 * math.pi * radius**4, rel=2e-4)  # ∫ t² dA
    q = np.linspace(1e-4, 1.25 / radius, 2000)  # the shape transform of a sphere, in the plane of the detector
    x = 2.0 * math.pi * radius * q
    transform = 4.0 * math.pi * radius**3 * (np.sin(x) - x * np.cos(x)) / x**3
    inside = np.trapezoid(1e-6 * transform**2 * 2.0 * math.pi * q, q)
    assert disc[0] == pytest.approx(inside, rel=2e-3)
    assert disc[1] < whole[1] < whole[0]


def test_the_slab_along_122_is_periodic_and_complete() -> None:
    extent = 3.0 * IN2O3.cell.a_angstrom
    cloud = periodic_slab(crystal=IN2O3, extent_angstrom=extent, thickness_angstrom=extent)
    assert len(cloud.element) == 27 * 80
    found = crossing_reflections(IN2O3, directions_off_zone(4), reach_per_angstrom=1.2)
    index = found.g_lab[:, :2] * extent
    assert len(index) > 20
    np.testing.assert_allclose(index, np.round(index), atol=1e-9)
    np.testing.assert_allclose(found.g_lab, found.hkl @ (along_122() @ reciprocal_matrix(IN2O3.cell)).T)


def test_isolation_looks_at_strong_neighbours_and_the_direct_beam() -> None:
    g = np.array([[0.5, 0.0, 0.0], [0.53, 0.0, 0.1], [0.0, 0.9, 0.0], [0.05, 0.0, 0.0]])
    spots = Spots(hkl=np.arange(12).reshape(4, 3), g_lab=g, whole=np.array([1.0, 0.5, 1.0, 1.0]), disc=np.ones(4))
    assert isolated(spots).tolist() == [False, False, True, False]
    assert isolated(replace(spots, whole=np.array([1.0, 1e-3, 1.0, 1.0])))[0]
    turned = replace(spots, hkl=spots.hkl[::-1])
    assert same_reflections(spots, turned).tolist() == [3, 2, 1, 0]


def test_rows_state_the_median_of_both_signs() -> None:
    column = np.linspace(2.0, 1.0, 80)
    rows = distribution_rows("x", "title", 1.04 * column, column, np.linspace(0.3, 1.5, 80), limit=3.0)
    assert rows[0].value == pytest.approx(4.0)
    assert rows[1].met is False
    assert all(row.value == pytest.approx(4.0) for row in rows)
    both = np.where(np.arange(80) % 2, 1.04, 0.96) * column
    rows = distribution_rows("x", "title", both, column, np.linspace(0.3, 1.5, 80), limit=3.0)
    assert abs(rows[0].value) < 1e-9  # signs cancel in the median; the goal is for the sizes
    assert rows[1].met is False


def test_an_atom_between_pixels_is_damped_by_the_packages_division_and_not_by_the_right_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four pixels share an atom by its distances: half-way between two of them its transform is cos(π q d). Averaged
    over all positions it is sinc²(π q d), which has to be divided out; sin(q d)/(q d) hardly does anything, and leaves
    the amplitude 17 % low at 1.5 Å⁻¹ with pixels of 0.163 Å."""
    monkeypatch.setattr(multislice_abtem, "POINTS", 64)
    step = multislice_abtem.EXTENT_ANGSTROM / multislice_abtem.POINTS
    cloud = AtomCloud(
        position_angstrom=np.array([[10.5 * step, 10.0 * step, 0.1]]),
        element=np.zeros(1, dtype=np.int64),
        weight=np.ones(1),
        elements=("In",),
        u_iso_angstrom2=(0.0,),
    )
    phase = next(multislice_abtem.their_phases(cloud)).astype(np.float64)
    cycles = np.array([4, 16, 31]) / 64
    found = np.abs(np.fft.fft2(phase))[0, [4, 16, 31]]
    q2 = (cycles / step) ** 2
    at_node = replace(cloud, position_angstrom=np.array([[10.0 * step, 10.0 * step, 0.1]]))
    node = np.abs(np.fft.fft2(next(multislice_abtem.their_phases(at_node)).astype(np.float64)))[0, [4, 16, 31]]
    np.testing.assert_allclose(found / node, np.cos(math.pi * cycles), rtol=1e-4)
    factor = electron_factor("In", 0.25 * q2)
    np.testing.assert_allclose(node / node[0] * factor[0] / factor, _sinc(cycles[0]) / _sinc(cycles), rtol=1e-4)
    place, turn = (np.arange(400) + 0.5) / 400, 2.0 * math.pi * 1.5 * 125.0 / 768
    mean = abs(np.mean((1.0 - place + place * np.exp(-1j * turn)) * np.exp(1j * place * turn)))
    assert mean == pytest.approx(float(np.sinc(1.5 * 125.0 / 768)) ** 2, rel=1e-4)
    assert mean / float(_sinc(np.array(1.5 * 125.0 / 768))) == pytest.approx(0.83, abs=0.005)


def _sinc(cycles: np.ndarray) -> np.ndarray:
    """Their divisor: sin(q d)/(q d) with q in cycles."""
    return np.asarray(np.sin(cycles) / cycles)
