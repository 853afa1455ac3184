"""The comparisons of multislice: that they tell what they claim to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from validation.engines.multislice import SphereComparison, _isolated, _sphere_rows
from validation.engines.multislice_slab import RUTILE, slab, slab_bloch, slab_multislice, slab_r1


def test_the_slab_converges_to_bloch_waves_as_both_reach_further() -> None:
    problem = slab(RUTILE, cells=12, g_max_per_angstrom=2.6)
    finest = slab_multislice(problem, points=48, slices=8)
    narrow, _ = slab_r1(problem, slab_bloch(problem, g_max=1.6, s_max=0.2), finest)
    wide, beams = slab_r1(problem, slab_bloch(problem, g_max=2.6, s_max=0.2), finest)
    assert wide < 1.0 < narrow
    assert beams > 100


def test_the_wrong_thickness_shows() -> None:
    problem = slab(RUTILE, cells=12, g_max_per_angstrom=2.0)
    wave = slab_multislice(replace(problem, cells=13), points=48, slices=4)
    value, _ = slab_r1(problem, slab_bloch(problem, g_max=2.0, s_max=0.2), wave)
    assert value > 4.0


def test_isolation_looks_at_strong_neighbours_and_the_direct_beam() -> None:
    g = np.array([[0.5, 0.0, 0.0], [0.53, 0.0, 0.1], [0.0, 0.9, 0.0], [0.05, 0.0, 0.0]])
    alone = _isolated(g, np.array([1.0, 0.5, 1.0, 1.0]), reach=0.05)
    assert alone.tolist() == [False, False, True, False]
    assert _isolated(g, np.array([1.0, 1e-3, 1.0, 1.0]), reach=0.05)[0]


def test_rows_state_the_median_of_both_signs() -> None:
    n = 80
    column = np.linspace(2.0, 1.0, n)
    found = SphereComparison(
        g_per_angstrom=np.linspace(0.3, 1.5, n),
        multislice=1.04 * column,
        column=column,
        whole=column,
        seconds=(1.0, 1.0),
    )
    rows = _sphere_rows("x", "title", found, goal=True)
    assert rows[0].value == pytest.approx(4.0)
    assert rows[0].met is False
    assert all(row.value == pytest.approx(4.0) for row in rows)
