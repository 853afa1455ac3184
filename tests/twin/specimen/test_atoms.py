"""Particles as atoms: how many, where, of what, how they shake; the amorphous film."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from twin.files.cif import read_crystal
from twin.model.crystal import Cell, Crystal, Site
from twin.model.specimen import Particle
from twin.physics.lattice import cell_volume_angstrom3, direct_matrix, reciprocal_matrix, rotation_matrix
from twin.physics.structure_factors import electron_factor, expand_to_p1, structure_factors
from twin.specimen.atoms import atom_cloud, displaced, particle_atoms, stacked
from twin.specimen.film import carbon_film
from twin.specimen.shapes import body_axes, lateral_extent_angstrom, volume_angstrom3

ITO = read_crystal(Path(__file__).parents[3] / "scenarios" / "library" / "materials" / "ito.cif")
TURN = rotation_matrix(axis=[0.3, 0.5, 0.2], angle_deg=33.0)
SPHERE = Particle(shape="sphere", size_nm=(10.0, 10.0, 10.0))


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_a_sphere_of_ito_has_the_atoms_of_its_volume() -> None:
    atoms = particle_atoms(crystal=ITO, particle=SPHERE, orientation=TURN, alloy="drawn", generator=rng())
    expected = 80 * volume_angstrom3(SPHERE) / cell_volume_angstrom3(ITO.cell)
    assert len(atoms) == pytest.approx(expected, rel=2e-3)
    count = atoms.symbols.formula.count()
    assert count["Sn"] / (count["Sn"] + count["In"]) == pytest.approx(0.108, abs=0.008)
    assert np.linalg.norm(atoms.positions, axis=1).max() <= 50.0 + 1e-9


@pytest.mark.parametrize("shape", ["ellipsoid", "rod", "box"])
def test_other_shapes_too_in_any_orientation(shape: str) -> None:
    particle = Particle(shape=shape, size_nm=(6.0, 6.0, 13.0), axis_uvw=(1.0, 2.0, 0.0))  # type: ignore[arg-type]
    atoms = particle_atoms(crystal=ITO, particle=particle, orientation=TURN)
    electrons = atoms.get_array("weight").sum()
    assert electrons == pytest.approx(80 * volume_angstrom3(particle) / cell_volume_angstrom3(ITO.cell), rel=0.02)
    half = lateral_extent_angstrom(particle=particle, axes_lab=TURN @ body_axes(particle, ITO.cell))
    assert np.all(np.abs(atoms.positions[:, :2]) <= np.array(half) + 1e-9)
    assert np.all(np.abs(atoms.positions[:, :2]).max(axis=0) > np.array(half) - 5.0)


def test_the_lattice_sums_are_the_structure_factors() -> None:
    """Σ f exp(−2πi g·r) over one cell's worth of atoms, the sign of the potential: conj(F)."""
    crystal = Crystal(
        name="polar",
        cell=Cell(a_angstrom=4.1, b_angstrom=5.3, c_angstrom=6.2, alpha_deg=80.0, beta_deg=95.0, gamma_deg=110.0),
        hall="P 1",
        sites=(
            Site(label="Ti1", element="Ti", fract=(0.11, 0.07, 0.21), u_iso_angstrom2=0.0),
            Site(label="O1", element="O", fract=(0.43, 0.61, 0.52), u_iso_angstrom2=0.0, occupancy=0.7),
        ),
    )
    small = Particle(shape="sphere", size_nm=(4.0, 4.0, 4.0))
    atoms = particle_atoms(crystal=crystal, particle=small, orientation=TURN)
    hkl = np.array([[1, 0, 2], [-1, 1, 3], [2, 1, -1]])
    g = hkl @ (TURN @ reciprocal_matrix(crystal.cell)).T
    kinds = atom_cloud(atoms)
    assert kinds.elements == ("O", "Ti")
    phases = np.exp(-2j * np.pi * (atoms.positions @ g.T)) * atoms.get_array("weight")[:, None]
    cells = np.sum(atoms.numbers == 22)
    ours = np.stack([phases[kinds.element == i].sum(axis=0) / np.sum(kinds.element == i) for i in (0, 1)])
    assert cells == pytest.approx(volume_angstrom3(small) / cell_volume_angstrom3(crystal.cell), rel=0.03)
    s2 = 0.25 * np.sum(g**2, axis=1)
    total = sum(electron_factor(e, s2) * ours[i] for i, e in enumerate(kinds.elements))
    expected = np.conj(structure_factors(crystal=crystal, hkl=hkl))
    np.testing.assert_allclose(total, expected, atol=0.02 * np.abs(expected).max())


def test_an_alloy_drawn_is_the_average_on_average_and_leaves_vacancies() -> None:
    thin = replace(ITO, sites=tuple(replace(s, occupancy=0.5 * s.occupancy) for s in ITO.sites))
    averaged = particle_atoms(crystal=thin, particle=SPHERE, orientation=TURN)
    drawn = particle_atoms(crystal=thin, particle=SPHERE, orientation=TURN, alloy="drawn", generator=rng())
    for symbol in ("In", "Sn", "O"):
        mean = averaged.get_array("weight")[averaged.symbols == symbol].sum()
        assert np.sum(drawn.symbols == symbol) == pytest.approx(mean, abs=4 * np.sqrt(mean))
    assert len(np.unique(drawn.get_array("place"))) == len(drawn)
    with pytest.raises(ValueError, match="generator"):
        particle_atoms(crystal=thin, particle=SPHERE, orientation=TURN, alloy="drawn")


def test_displacements_have_the_covariance_of_the_sites() -> None:
    u = (0.004, 0.009, 0.006, 0.001, -0.002, 0.0015)
    cell = Cell(a_angstrom=4.0, b_angstrom=4.5, c_angstrom=5.0, beta_deg=100.0)
    crystal = Crystal(
        name="aniso", cell=cell, hall="P 1", sites=(Site(label="O", element="O", fract=(0, 0, 0), u_aniso_angstrom2=u),)
    )
    still = particle_atoms(crystal=crystal, particle=SPHERE, orientation=TURN)
    moved = displaced(still, rng())
    shift = moved.positions - still.positions
    direct = TURN @ direct_matrix(cell)
    expected = direct @ expand_to_p1(crystal).u_star[0] @ direct.T
    np.testing.assert_allclose(shift.T @ shift / len(shift), expected, atol=6e-4)
    assert moved.get_array("u_iso_angstrom2").max() == 0.0
    assert np.array_equal(moved.positions, displaced(still, rng()).positions)


def test_elements_of_one_position_move_together() -> None:
    still = particle_atoms(crystal=ITO, particle=SPHERE, orientation=TURN)
    moved = displaced(still, rng())
    shift = moved.positions - still.positions
    place = still.get_array("place")
    order = np.lexsort((still.numbers, place))
    same = np.flatnonzero(np.diff(place[order]) == 0)
    assert len(same) > 1000
    np.testing.assert_allclose(shift[order[same]], shift[order[same + 1]], atol=1e-12)


def test_the_film_has_its_density_and_its_distance() -> None:
    film = carbon_film(extent_angstrom=60.0, thickness_angstrom=40.0, generator=rng())
    assert len(film) * 12.011 * 1.66054 / (60 * 60 * 40) == pytest.approx(1.75, rel=1e-3)
    lifted = film.positions - film.positions.min(axis=0) + np.array([0.0, 0.0, 1.0])
    tree = cKDTree(lifted, boxsize=[60.001, 60.001, 1000.0])
    assert tree.query(lifted, k=2)[0][:, 1].min() >= 1.42 - 2e-3
    layers = np.histogram(film.positions[:, 2], bins=8, range=(0.0, 40.0))[0]
    assert layers.std() / layers.mean() < 0.1
    again = carbon_film(extent_angstrom=60.0, thickness_angstrom=40.0, generator=rng())
    assert np.array_equal(film.positions, again.positions)


def test_a_film_that_is_too_dense_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves no room"):
        carbon_film(extent_angstrom=20.0, thickness_angstrom=20.0, generator=rng(), distance_angstrom=2.2)


def test_film_and_particle_are_stacked_along_the_beam() -> None:
    particle = particle_atoms(crystal=ITO, particle=Particle(shape="sphere", size_nm=(3, 3, 3)), orientation=TURN)
    film = carbon_film(extent_angstrom=40.0, thickness_angstrom=20.0, generator=rng())
    behind, before = (stacked(particle, film, side=side) for side in ("behind", "before"))
    own = particle.positions[:, 2]
    assert len(behind) == len(before) == len(particle) + len(film)
    assert behind.positions[len(particle) :, 2].min() == pytest.approx(own.max() + 1.0)
    assert before.positions[len(particle) :, 2].max() == pytest.approx(own.min() - 1.0)
    assert np.unique(behind.get_array("place")).size == np.unique(particle.get_array("place")).size + len(film)
    assert atom_cloud(behind).elements == ("C", "In", "O", "Sn")
