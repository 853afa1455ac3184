"""Pulls of coordinates, whatever origin and asymmetric unit the refined structure has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.types import Refinement
from twin.model.crystal import Cell, Crystal, Site
from twin.physics.symmetry import operations
from validation.pulls import coordinate_pulls, mean_square, occupancy_pulls

TRUE = Crystal(
    name="brookite",
    cell=Cell(a_angstrom=9.174, b_angstrom=5.449, c_angstrom=5.138),
    hall="-P 2ac 2ab",
    sites=(
        Site(label="Ti1", element="Ti", fract=(0.1289, 0.0972, 0.8628), occupancy=0.7),
        Site(label="Mg1", element="Mg", fract=(0.1289, 0.0972, 0.8628), occupancy=0.3),
        Site(label="O1", element="O", fract=(0.0095, 0.1491, 0.1835)),
        Site(label="O2", element="O", fract=(0.2314, 0.1110, 0.5366)),
    ),
)


def _refined(crystal: Crystal, uncertainties: dict[str, float]) -> Refinement:
    none = np.zeros(0)
    return Refinement(
        kind="dynamical", crystal=crystal, parameters=0, reflections_all=0, reflections_obs=0, r_obs_percent=0.0,
        r_all_percent=0.0, wr_all_percent=0.0, gof_obs=1.0, hkl=np.zeros((0, 3), dtype=np.int64),
        frame=np.zeros(0, dtype=np.int64), f_obs=none, f_calc=none, sigma_f=none, observed=np.zeros(0, dtype=bool),
        standard_uncertainties=uncertainties, thickness_nm=None, frame_scale=None, rotation=None, verdict="", cycles=0,
    )  # fmt: skip


def _moved(site: Site, by: tuple[float, float, float], operation: int, shift: tuple[float, float, float]) -> Site:
    """The site displaced, then taken to an equivalent position about another origin."""
    group = operations(TRUE.hall)
    fract = group.rotations[operation] @ (np.array(site.fract) + by) + group.translations[operation] + shift
    return replace(site, fract=(float(fract[0]), float(fract[1]), float(fract[2])))


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.5, 0.0, 0.5)])
@pytest.mark.parametrize("operation", range(8))
def test_pulls_are_those_put_in(operation, shift):
    """0.01 Å along a with an s.u. of 0.005 Å, seen from any equivalent position and origin."""
    by = (0.01 / TRUE.cell.a_angstrom, 0.0, 0.0)
    sites = tuple(
        _moved(site, by if site.label == "O1" else (0.0, 0.0, 0.0), operation if site.label == "O1" else 0, shift)
        for site in TRUE.sites
    )
    su = {f"{s.label}.{k}": 0.005 / e for s in sites for k, e in zip("xyz", TRUE.cell.parameters[:3], strict=True)}
    pulls = coordinate_pulls(reference=TRUE, refinement=_refined(replace(TRUE, sites=sites), su))
    found = {p.name: abs(p.value) for p in pulls}
    assert len(found) == 9
    assert found.pop("O1.x") == pytest.approx(2.0, abs=1e-6)
    assert max(found.values()) < 1e-6
    assert mean_square(pulls) == pytest.approx(4.0 / 9.0)


def test_occupancies_are_compared_by_element():
    sites = (replace(TRUE.sites[0], occupancy=0.72), replace(TRUE.sites[1], occupancy=0.28), *TRUE.sites[2:])
    su = {"Ti1.occupancy": 0.01, "Mg1.occupancy": 0.01}
    pulls = occupancy_pulls(reference=TRUE, refinement=_refined(replace(TRUE, sites=sites), su))
    assert {p.name: round(p.value, 6) for p in pulls} == {"Ti1.occupancy": 2.0, "Mg1.occupancy": -2.0}


def test_another_structure_has_no_pulls():
    other = replace(TRUE, hall="-P 2 2", sites=TRUE.sites[:1])
    assert coordinate_pulls(reference=TRUE, refinement=_refined(other, {"Ti1.x": 0.001})) == ()
