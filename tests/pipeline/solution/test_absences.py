"""Ratios of forbidden to allowed intensities: small where the group is right, even when multiple scattering shines."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.solution.absences import absences
from pipeline.solution.spots import prepare
from validation.solution.conditions import simulated_data
from validation.solution.materials import STUDY


def _ratio(name: str, hall: str, **settings: float) -> tuple[int, float]:
    crystal = STUDY[name].crystal
    spots = prepare(merged=simulated_data(crystal, seed=2, **settings), cell=crystal.cell)
    found = absences(hkl=spots.hkl, g=spots.g, e_squared=spots.e**2, measured=spots.measured, hall=hall)
    assert len(found.shells) >= 3
    return found.count, found.ratio


def test_true_group_is_dark_and_lit_only_by_the_share_of_multiple_scattering():
    count, clean = _ratio("brookite", "-P 2ac 2ab")
    _, lit = _ratio("brookite", "-P 2ac 2ab", forbidden=0.03)
    assert count > 50
    assert clean == pytest.approx(0.0, abs=1e-9)
    assert 0.0 < lit < 0.25


@pytest.mark.parametrize("hall", ["-P 2ab 2ac", "-P 2n 2n", "-P 2bc 2ac"])
def test_wrong_glide_planes_forbid_bright_reflections(hall):
    assert _ratio("brookite", hall)[1] > 0.3


def test_nothing_forbidden_is_no_evidence():
    crystal = STUDY["brookite"].crystal
    spots = prepare(merged=simulated_data(crystal, seed=2), cell=crystal.cell)
    flat = np.ones(len(spots.hkl))
    found = absences(hkl=spots.hkl, g=spots.g, e_squared=flat, measured=spots.measured, hall="-P 2 2")
    assert found.count == 0
    assert found.shells == ()
