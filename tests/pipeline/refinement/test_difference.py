"""The difference potential: an atom that is left out of the model shows where it is; a perfect model leaves nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.refinement.difference import VOLT_ANGSTROM2, difference_map
from pipeline.types import Refinement
from twin.model.crystal import Cell, Crystal, Site
from twin.physics.lattice import cell_volume_angstrom3, miller_indices, reciprocal_matrix
from twin.physics.structure_factors import structure_factors

CELL = Cell(a_angstrom=4.0, b_angstrom=5.0, c_angstrom=6.0, alpha_deg=90.0, beta_deg=100.0, gamma_deg=90.0)
HEAVY = Site(label="Ti1", element="Ti", fract=(0.0, 0.0, 0.0), u_iso_angstrom2=0.01)
LIGHT = Site(label="O1", element="O", fract=(0.31, 0.18, 0.42), u_iso_angstrom2=0.01)
WHOLE = Crystal(name="whole", cell=CELL, hall="-P 2y", sites=(HEAVY, LIGHT))


def refinement_of(model: Crystal, truth: Crystal, *, scale: float = 1.0) -> Refinement:
    """Averaged data without noise."""
    hkl = miller_indices(reciprocal=reciprocal_matrix(CELL), g_max_per_angstrom=1.2)
    hkl = hkl[hkl.any(axis=1)]
    f_obs, f_calc = (np.abs(structure_factors(crystal=c, hkl=hkl)) for c in (truth, model))
    n = len(hkl)
    return Refinement(
        kind="kinematical_averaged", crystal=model, parameters=1, reflections_all=n, reflections_obs=n,
        r_obs_percent=1.0, r_all_percent=1.0, wr_all_percent=1.0, gof_obs=1.0, hkl=hkl,
        frame=np.full(n, -1, dtype=np.int64), f_obs=scale * f_obs, f_calc=scale * f_calc,
        sigma_f=np.full(n, 1e-4 * scale), observed=np.ones(n, dtype=bool), standard_uncertainties={}, thickness_nm=None,
        frame_scale=None, rotation=None, verdict="", cycles=1,
    )  # fmt: skip


def test_a_perfect_model_leaves_nothing() -> None:
    assert np.abs(difference_map(refinement_of(WHOLE, WHOLE)).potential_volt).max() == 0.0


def test_an_atom_left_out_is_the_highest_point_whatever_the_scale() -> None:
    heavy = replace(WHOLE, sites=(HEAVY,))
    found = difference_map(refinement_of(heavy, WHOLE, scale=37.0))
    value, place = found.highest
    images = [np.array(s) * LIGHT.fract for s in ((1, 1, 1), (-1, 1, -1), (-1, -1, -1), (1, -1, 1))]
    distance = min(np.abs((np.array(place) - x + 0.5) % 1.0 - 0.5).max() for x in images)
    assert distance < 0.04
    assert value > 8.0 * found.sigma_volt
    assert abs(found.potential_volt.mean()) < 1e-9


def test_an_occupancy_that_is_too_low_is_missing_potential_in_volts() -> None:
    """All atoms at 0.9 of the truth: the correction is 1/9 of the model's own potential at the heavy atom."""
    thin = replace(WHOLE, sites=tuple(replace(s, occupancy=0.9) for s in WHOLE.sites))
    r = refinement_of(thin, WHOLE)
    value = difference_map(r).potential_volt[0, 0, 0]
    f = structure_factors(crystal=thin, hkl=r.hkl).real.sum() * VOLT_ANGSTROM2 / cell_volume_angstrom3(CELL)
    assert value == pytest.approx(f / 9.0, rel=1e-3)
