"""Symmetry arrays and structure factors against gemmi and against group theory."""

import gemmi
import numpy as np
import pytest

from twin.model.crystal import Cell, Crystal, Site
from twin.physics.lattice import miller_indices, reciprocal_matrix
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import (
    asymmetric_hkl,
    laue_hall,
    operations,
    orbit,
    point_rotations,
    stabiliser,
    systematically_absent,
)

HALLS = sorted({group.hall for group in gemmi.spacegroup_table()})


@pytest.mark.parametrize("hall", HALLS[::7])
def test_orbit_times_stabiliser_is_the_order_of_the_group(hall: str) -> None:
    for position in [(0.0, 0.0, 0.0), (0.25, 0.25, 0.25), (0.5, 0.0, 0.25), (0.137, 0.291, 0.413)]:
        assert len(orbit(position, hall)) * len(stabiliser(position, hall)) == len(operations(hall))


@pytest.mark.parametrize("hall", HALLS[::5])
def test_absences_agree_with_gemmi(hall: str) -> None:
    group = gemmi.symops_from_hall(hall)
    hkl = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    expected = [group.is_systematically_absent(h.tolist()) for h in hkl]
    assert systematically_absent(hkl, hall).tolist() == expected


@pytest.mark.parametrize("hall", HALLS)
def test_every_setting_has_a_laue_group_with_the_same_rotations(hall: str) -> None:
    own = {r.tobytes() for r in point_rotations(hall, friedel=True)}
    assert {r.tobytes() for r in point_rotations(laue_hall(hall), friedel=False)} == own


def test_asymmetric_hkl_is_the_same_for_all_equivalents() -> None:
    hkl = np.array([[1, 2, 3], [0, 1, 4], [2, 2, 0], [5, -3, 1]])
    for hall in ["-I 2b 2c 3", "P 31 2 (0 0 4)", "-P 2ac 2ab", "P 1"]:
        turned = np.einsum("ni,kij->knj", hkl, point_rotations(hall, friedel=True))
        unique = {asymmetric_hkl(t, hall).tobytes() for t in turned}
        assert len(unique) == 1


def _crystal() -> Crystal:
    return Crystal(
        name="anisotropic test",
        cell=Cell(a_angstrom=4.9, b_angstrom=4.9, c_angstrom=5.4, gamma_deg=120.0),
        hall="P 31 2 (0 0 4)",
        sites=(
            Site(label="Si1", element="Si", fract=(0.47, 0.0, 1 / 3), u_iso_angstrom2=0.006),
            Site(
                label="O1",
                element="O",
                fract=(0.413, 0.267, 0.119),
                u_aniso_angstrom2=(0.016, 0.011, 0.012, 0.009, -0.003, -0.004),
            ),
        ),
    )


def test_equivalent_reflections_obey_the_phase_relation_with_anisotropic_adps() -> None:
    crystal = _crystal()
    hkl = miller_indices(reciprocal=reciprocal_matrix(crystal.cell), g_max_per_angstrom=0.9)
    f = structure_factors(crystal=crystal, hkl=hkl)
    ops = operations(crystal.hall)
    for rotation, translation in zip(ops.rotations, ops.translations, strict=True):
        turned = structure_factors(crystal=crystal, hkl=hkl @ rotation)
        np.testing.assert_allclose(turned, f * np.exp(-2j * np.pi * (hkl @ translation)), atol=1e-9)


def test_structure_factors_agree_with_a_sum_over_gemmi_operations() -> None:
    crystal = Crystal(
        name="brookite",
        cell=Cell(a_angstrom=9.174, b_angstrom=5.449, c_angstrom=5.138),
        hall="-P 2ac 2ab",
        sites=(
            Site(label="Ti1", element="Ti", fract=(0.1289, 0.0972, 0.8628), u_iso_angstrom2=0.005),
            Site(label="O1", element="O", fract=(0.0095, 0.1491, 0.1835), u_iso_angstrom2=0.0065),
        ),
    )
    cell = gemmi.UnitCell(*crystal.cell.parameters)
    group = gemmi.find_spacegroup_by_name("P b c a").operations()
    hkl = miller_indices(reciprocal=reciprocal_matrix(crystal.cell), g_max_per_angstrom=0.8)
    expected = []
    for h in hkl.tolist():
        s2 = cell.calculate_1_d2(h) / 4
        total = 0j
        for site in crystal.sites:
            factor = gemmi.Element(site.element).c4322.calculate_sf(s2)
            factor *= np.exp(-8 * np.pi**2 * site.u_iso_angstrom2 * s2)
            total += factor * sum(np.exp(2j * np.pi * np.dot(h, op.apply_to_xyz(list(site.fract)))) for op in group)
        expected.append(total)
    # gemmi sums f in 32 bit
    np.testing.assert_allclose(structure_factors(crystal=crystal, hkl=hkl), expected, atol=1e-5)
