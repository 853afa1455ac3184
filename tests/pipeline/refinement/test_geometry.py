"""Bond lengths and angles: known geometries, published ones, and s.u.s by propagation."""

from __future__ import annotations

import math

import pytest

from pipeline.refinement.geometry import bond_angles, bond_lengths
from twin.files.cif import read_crystal
from twin.model.crystal import Cell, Crystal, Site
from validation.realdata import data_folder

ALBITE = data_folder() / "albite" / "jana2006_albite.cif"


def crystal(sites: tuple[tuple[str, str, tuple[float, float, float]], ...], *, hall: str, a: float) -> Crystal:
    return Crystal(
        name="x", cell=Cell(a_angstrom=a, b_angstrom=a, c_angstrom=a), hall=hall,
        sites=tuple(Site(label=label, element=e, fract=at, u_iso_angstrom2=0.01) for label, e, at in sites),
    )  # fmt: skip


def test_diamond_has_one_length_and_the_angle_of_a_tetrahedron() -> None:
    diamond = crystal((("C1", "C", (0.125, 0.125, 0.125)),), hall="-F 4vw 2vw 3", a=3.567)
    lengths, angles = bond_lengths(diamond, {}), bond_angles(diamond, {})
    assert len(lengths) == 4
    assert all(m.value == pytest.approx(3.567 * math.sqrt(3) / 4, abs=1e-9) for m in lengths)
    assert len(angles) == 6
    assert all(m.value == pytest.approx(math.degrees(math.acos(-1 / 3)), abs=1e-6) for m in angles)


def test_metals_are_bonded_to_oxygen_and_not_to_each_other() -> None:
    """MgO: six oxygen atoms at a/2 around Mg, none of the twelve Mg at a/√2."""
    salt = crystal((("Mg1", "Mg", (0.0, 0.0, 0.0)), ("O1", "O", (0.5, 0.5, 0.5))), hall="-F 4 2 3", a=4.21)
    found = bond_lengths(salt, {})
    assert [m.labels for m in found] == [("Mg1", "O1")] * 6
    assert all(m.value == pytest.approx(2.105) for m in found)


def test_uncertainties_are_those_of_the_coordinates_along_the_bond() -> None:
    """C-O along x in a cube of 10 Å: 0.001 and 0.002 in x give 0.0224 Å; y of either gives nothing."""
    pair = crystal((("C1", "C", (0.1, 0.2, 0.3)), ("O1", "O", (0.22, 0.2, 0.3))), hall="P 1", a=10.0)
    (bond,) = bond_lengths(pair, {"C1.x": 0.001, "O1.x": 0.002, "C1.y": 0.003})
    assert bond.value == pytest.approx(1.2)
    assert bond.su == pytest.approx(10 * math.hypot(0.001, 0.002), rel=1e-6)


def test_an_atom_and_its_own_image_move_together() -> None:
    """A dimer about an inversion centre: moving x by δ changes the length by 2 δ a."""
    dimer = crystal((("C1", "C", (0.07, 0.0, 0.0)),), hall="-P 1", a=10.0)
    (bond,) = bond_lengths(dimer, {"C1.x": 0.001})
    assert bond.codes == (".", "2_555")
    assert bond.su == pytest.approx(2 * 10 * 0.001, rel=1e-6)


@pytest.mark.skipif(not ALBITE.is_file(), reason="no measured data (EDTWIN_REALDATA, ../shared/realdata)")
def test_bonds_of_albite_are_the_published_ones() -> None:
    """The 21 lengths of the CIF, by label and symmetry; read by lines."""
    lines = [line.split() for line in ALBITE.read_text(encoding="latin-1").splitlines()]
    begin = next(i for i, words in enumerate(lines) if words == ["_geom_bond_publ_flag"]) + 1
    published = {(w[0], w[1], w[3]): float(w[4].split("(")[0]) for w in lines[begin : begin + 21]}
    found = {(*m.labels, m.codes[1]): m.value for m in bond_lengths(read_crystal(ALBITE, cell_tolerance=0.03), {})}
    assert {frozenset(k[:2]) for k in found} == {frozenset(k[:2]) for k in published}
    assert sorted(found.values()) == pytest.approx(sorted(published.values()), abs=0.006)
