"""Crystals from CIF: what must be read, what must be refused, and that nothing but a sentence comes of bad files."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from twin.files.cif import read_crystal, write_crystal
from twin.files.crystal_checks import composition, density_g_cm3, parse_formula
from twin.files.errors import InputError
from twin.model.crystal import Cell, Crystal, Site
from twin.physics.symmetry import site_multiplicity

LIBRARY = Path(__file__).parents[3] / "scenarios" / "library" / "materials"
MATERIALS = {
    "ito": ("In1.784 Sn0.216 O3", 7.12, (8, 8, 24, 24, 48)),
    "in2o3": ("In2O3", 7.12, (8, 24, 48)),
    "anatase": ("TiO2", 3.89, (4, 8)),
    "brookite": ("TiO2", 4.13, (8, 8, 8)),
    "mgti2o5": ("MgTi2O5", 3.61, (4, 4, 8, 8, 4, 8, 8)),
}
QUARTZ = Crystal(
    name="quartz",
    cell=Cell(a_angstrom=4.913, b_angstrom=4.913, c_angstrom=5.405, gamma_deg=120.0),
    hall='P 32 2"',
    sites=(
        Site(label="Si1", element="Si", fract=(0.4697, 0.0, 2 / 3), u_iso_angstrom2=0.006),
        Site(
            label="O1", element="O", fract=(0.4133, 0.2672, 0.7855), u_iso_angstrom2=0.0104,
            u_aniso_angstrom2=(0.0156, 0.0115, 0.0119, 0.0092, -0.0029, -0.0046),
        ),
    ),
)  # fmt: skip


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "crystal.cif"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", list(MATERIALS))
def test_materials_of_the_library(name: str) -> None:
    formula, density, multiplicities = MATERIALS[name]
    crystal = read_crystal(LIBRARY / f"{name}.cif", expect_formula=formula)
    assert density_g_cm3(crystal) == pytest.approx(density, abs=0.006)
    assert tuple(site_multiplicity(s.fract, crystal.hall) for s in crystal.sites) == multiplicities


def test_mgti2o5_holds_the_atoms_of_table_4() -> None:
    counts = composition(read_crystal(LIBRARY / "mgti2o5.cif"))
    assert counts == pytest.approx({"Ti": 7.996, "Mg": 4.004, "O": 20.0})


@pytest.mark.parametrize("name", list(MATERIALS))
def test_round_trip_of_the_library(name: str, tmp_path: Path) -> None:
    crystal = read_crystal(LIBRARY / f"{name}.cif", name=name)
    write_crystal(crystal, tmp_path / "again.cif")
    assert read_crystal(tmp_path / "again.cif") == crystal


def test_round_trip_with_tensors_chiral_group_and_quotes(tmp_path: Path) -> None:
    extra: dict[str, str | int | float] = {"_note": "it's \"quoted\"", "_refine_ls_number_parameters": 9}
    text = write_crystal(QUARTZ, tmp_path / "q.cif", extra=extra)
    again = read_crystal(tmp_path / "q.cif")
    assert again.hall == QUARTZ.hall
    assert again.sites[1] == QUARTZ.sites[1]
    assert again.sites[0].fract == pytest.approx(QUARTZ.sites[0].fract, abs=1e-8)
    assert "_refine_ls_number_parameters 9" in text


def test_standard_uncertainties_follow_the_rule_of_19(tmp_path: Path) -> None:
    su = {"O1.x": 0.00123, "O1.y": 0.00456, "O1.u_iso": 0.0019, "O1.u11": 0.0011, "cell.a_angstrom": 0.02}
    text = write_crystal(QUARTZ, tmp_path / "q.cif", su=su)
    assert "0.4133(12) 0.267(5)" in text
    assert "0.0156(11)" in text
    assert "_cell_length_a 4.91(2)" in text
    assert read_crystal(tmp_path / "q.cif", cell_tolerance=0.01).sites[1].fract[1] == pytest.approx(0.267)


def test_rounded_special_positions_are_put_back(tmp_path: Path) -> None:
    text = write_crystal(QUARTZ).replace("0.66666667", "0.667")
    crystal = read_crystal(written(tmp_path, text))
    assert crystal.sites[0].fract[2] == pytest.approx(2 / 3, abs=1e-9)
    assert composition(crystal) == {"Si": 3.0, "O": 6.0}


def test_origin_choice_follows_the_operations_where_the_name_leaves_it_open(tmp_path: Path) -> None:
    text = (LIBRARY / "anatase.cif").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if "name_Hall" not in line]
    bare = "\n".join(lines).replace("'I 41/a m d:2'", "'I 41/a m d'") + "\n"
    assert read_crystal(written(tmp_path, bare)).hall == "-I 4bd 2"


def test_unclosed_quote_of_jana_is_mended(tmp_path: Path) -> None:
    text = write_crystal(QUARTZ).replace("data_quartz\n", "data_quartz\n_audit_creation_method 'Jana2020 Version\n")
    assert read_crystal(written(tmp_path, text)).sites == read_crystal(written(tmp_path, write_crystal(QUARTZ))).sites


GOOD = write_crystal(read_crystal(LIBRARY / "brookite.cif"))
BAD = {
    "nan": (GOOD.replace("9.174000", "nan"), "_cell_length_a"),
    "overflow": (GOOD.replace("9.174000", "1e400"), "_cell_length_a"),
    "open bracket": (GOOD.replace("9.174000", "9.1("), "_cell_length_a"),
    "cell of 1": (GOOD.replace("9.174000", "1.0"), "_cell_length_a"),
    "missing angle": (GOOD.replace("_cell_angle_beta 90.000000\n", ""), "_cell_angle_beta is missing"),
    "cell against group": (GOOD.replace("_cell_angle_beta 90.000000", "_cell_angle_beta 93.0"), "symmetry"),
    "group against operations": (GOOD.replace("'-P 2ac 2ab'", "'-P 2ac 2n'"), "symop_operation_xyz"),
    "nonsense hall": (GOOD.replace("'-P 2ac 2ab'", "'Z 9 9'"), "Hall"),
    "unknown element": (GOOD.replace("Ti1 Ti", "Xx1 Xx"), "unknown element"),
    "occupancy above 1": (GOOD.replace("0.86280000 1.000000", "0.86280000 1.2"), "occupancy"),
    "occupancy 0": (GOOD.replace("0.86280000 1.000000", "0.86280000 0.0"), "occupancy"),
    "coordinate": (GOOD.replace("0.86280000", "x"), "_atom_site_fract_z"),
    "atoms on top": (GOOD.replace("0.00950000 0.14910000 0.18350000", "0.1289 0.0972 0.87"), "closer than"),
    "same label": (GOOD.replace("O2 O", "O1 O"), "occurs twice"),
    "no atoms": (GOOD[: GOOD.index("loop_\n_atom_site_label")], "no loop with _atom_site_fract_x"),
    "double tag": (GOOD.replace("_cell_length_b", "_cell_length_a"), "not a readable CIF"),
    "empty": ("", "no data block"),
    "nul": (GOOD + "\0", "NUL"),
}


@pytest.mark.parametrize("kind", list(BAD))
def test_bad_files_are_refused_in_one_sentence(kind: str, tmp_path: Path) -> None:
    text, part = BAD[kind]
    assert text != GOOD
    with pytest.raises(InputError) as caught:
        read_crystal(written(tmp_path, text))
    message = str(caught.value)
    assert message.startswith("crystal.cif")
    assert part in message
    assert "\n" not in message


def test_formula_must_fit() -> None:
    with pytest.raises(InputError, match="expected formula"):
        read_crystal(LIBRARY / "brookite.cif", expect_formula="Ti2O3")
    assert parse_formula("In1.784 Sn0.216 O3") == {"In": 1.784, "Sn": 0.216, "O": 3.0}
    for bad in ("", "Qq2", "Ti O2)", "2Ti"):
        with pytest.raises(InputError):
            parse_formula(bad)


def test_too_many_atoms_are_refused_quickly(tmp_path: Path) -> None:
    row = "O{0} O 0.1 0.2 0.3 1.0 8 Uiso 0.01"
    text = GOOD + "\n".join(row.format(i) for i in range(10, 20010)) + "\n"
    with pytest.raises(InputError, match="at most 5000"):
        read_crystal(written(tmp_path, text))


def test_absent_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_crystal(tmp_path / "nothing.cif")


NUMBERS = ("nan", "inf", "-inf", "0", "-1", "1e400", "9.1(", "９．１", "4" * 400, "1e-400", "?", ".", "0x10", "1_000")


def mutated(text: str, rng: random.Random) -> bytes:
    """One random damage of sixteen kinds."""
    lines = text.splitlines()
    at = rng.randrange(len(lines))
    kind = rng.randrange(16)
    if kind < 5:
        tokens = lines[at].split()
        tokens[rng.randrange(len(tokens))] = rng.choice(NUMBERS)
        lines[at] = " ".join(tokens)
    elif kind == 5:
        del lines[at]
    elif kind == 6:
        lines.insert(at, lines[at])
    elif kind == 7:
        rng.shuffle(lines)
    elif kind == 8:
        lines = lines[:at]
    elif kind == 9:
        lines[at] += rng.choice("'\";")
    elif kind == 10:
        lines[at] = "x" * rng.choice((100, 100_000))
    elif kind == 11:
        lines = [line.replace("'-P 2ac 2ab'", rng.choice(("'P 1'", "'F 4d 2 3'", "''"))) for line in lines]
    elif kind == 12:
        lines[at] = lines[at].replace("Ti", rng.choice(("Zz", "", "He", "Og")))
    raw = bytearray("\n".join(lines).encode("utf-8") + b"\n")
    if kind >= 13:
        for _ in range(rng.randrange(1, 20)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)


def finite(crystal: Crystal) -> bool:
    numbers = [*crystal.cell.parameters]
    for site in crystal.sites:
        numbers += [*site.fract, site.occupancy, site.u_iso_angstrom2, *(site.u_aniso_angstrom2 or ())]
    return all(map(math.isfinite, numbers))


def test_two_hundred_mutations_end_in_a_crystal_or_a_sentence(tmp_path: Path) -> None:
    rng = random.Random(20250107)
    sources = [(LIBRARY / f"{name}.cif").read_text(encoding="utf-8") for name in MATERIALS]
    sentences: list[str] = []
    for index in range(200):
        path = tmp_path / f"{index}.cif"
        path.write_bytes(mutated(rng.choice(sources), rng))
        try:
            crystal = read_crystal(path)
        except InputError as error:
            sentences.append(str(error))
        else:
            assert finite(crystal)
            assert crystal.sites
    assert len(sentences) > 60  # the damage is real
    assert not [s for s in sentences if "\n" in s or len(s) > 400]


def test_shared_site_may_not_hold_more_than_one_atom(tmp_path: Path) -> None:
    crystal = read_crystal(LIBRARY / "mgti2o5.cif")
    over = replace(crystal, sites=tuple(replace(s, occupancy=min(1.0, s.occupancy + 0.05)) for s in crystal.sites))
    with pytest.raises(InputError, match="sum to more than"):
        read_crystal(written(tmp_path, write_crystal(over)))
