"""Options of `edtwin refine --data`."""

from __future__ import annotations

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest

from pipeline.refinement.settings import DynamicalSettings
from scenarios.measured.options import override, treatments_of
from scenarios.measured.run import read_model, refine_measured
from twin.files.errors import InputError
from twin.model.crystal import Crystal
from twin.physics.lattice import miller_indices, reciprocal_matrix
from twin.physics.structure_factors import structure_factors


def test_keys_take_values_of_their_kind() -> None:
    found = override(
        DynamicalSettings(),
        ["steps=96", "thickness_scan_nm=5,80", "thickness_nm=none", "refine_mosaicity=yes", "thickness_model=slab"],
    )
    assert found.steps == 96
    assert found.thickness_scan_nm == (5.0, 80.0)
    assert found.thickness_nm is None
    assert found.refine_mosaicity
    assert found.thickness_model == "slab"


@pytest.mark.parametrize(
    "text", ["steps", "steps=many", "mode=stills", "thickness_model=cone", "refine_mosaicity=perhaps", "g_max=1",
             "steps=0", "thickness_scan_nm=5", "mosaicity_deg=nan", "hold_out_every=1", "s_g_max_per_angstrom=-1"],
)  # fmt: skip
def test_absurd_options_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InputError) as caught:
        override(DynamicalSettings(), [text])
    assert "\n" not in str(caught.value)


def test_both_treatments_unless_one_is_named() -> None:
    assert treatments_of(kinematical=False, dynamical=False) == ("kinematical", "dynamical")
    assert treatments_of(kinematical=True, dynamical=True) == ("kinematical", "dynamical")
    assert treatments_of(kinematical=True, dynamical=False) == ("kinematical",)
    assert treatments_of(kinematical=False, dynamical=True) == ("dynamical",)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.cif_pets"):
        refine_measured(
            data=tmp_path / "x.cif_pets", model=tmp_path / "y.cif", folder=tmp_path / "run", treatments=("kinematical",)
        )
    with pytest.raises(InputError, match=r"y\.res"):
        read_model(tmp_path / "y.res")
    assert not (tmp_path / "run").exists()


QUARTZ_CIF = """data_quartz
_cell_length_a 4.9226
_cell_length_b 4.9226
_cell_length_c 5.4003
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_space_group_name_H-M_alt 'P 32 2 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
Si1 Si 0.0 0.4713 0.833333 0.009
O1 O 0.8547 0.5858 0.6187 0.016
"""


def pets_list(crystal: Crystal, *, zones: int) -> str:
    """A .cif_pets file without noise: one line a reflection (``zones`` 1) or every reflection on every zone."""
    b = reciprocal_matrix(crystal.cell)
    hkl = miller_indices(reciprocal=b, g_max_per_angstrom=1.3)
    hkl = hkl[hkl.any(axis=1)]
    intensity = 100.0 * np.abs(structure_factors(crystal=crystal, hkl=hkl)) ** 2
    cell = zip(("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"),
               crystal.cell.parameters, strict=True)  # fmt: skip
    lines = ["data_pets", *(f"_cell_{name} {value}" for name, value in cell), "_diffrn_radiation_wavelength 0.02508"]
    lines += [f"_diffrn_orient_matrix_UB_{i + 1}{j + 1} {b[i, j]}" for i in range(3) for j in range(3)]
    names = ("id", "u", "v", "w", "precession_angle", "alpha", "beta", "omega", "scale")
    lines += ["loop_", *(f"_diffrn_zone_axis_{n}" for n in names)]
    lines += [f"{z + 1} 0 0 1 1.0 {3.0 * z} 0 0 1" for z in range(zones)]
    names = ("index_h", "index_k", "index_l", "intensity_meas", "intensity_sigma", "zone_axis_id")
    lines += ["loop_", *(f"_refln_{n}" for n in names)]
    for z in range(zones):
        lines += [f"{h} {k} {m} {i:.4f} {0.02 * i + 0.1:.4f} {z + 1}"
                  for (h, k, m), i in zip(hkl.tolist(), intensity.tolist(), strict=True)]  # fmt: skip
    return "\n".join(lines) + "\n"


def written(folder: Path, *, zones: int) -> tuple[Path, Path]:
    """(.cif_pets, model) in ``folder``."""
    model, data = folder / "quartz.cif", folder / "quartz.cif_pets"
    model.write_text(QUARTZ_CIF)
    data.write_text(pets_list(read_model(model), zones=zones))
    return data, model


def test_a_list_with_one_line_a_reflection_is_refined_averaged_and_not(tmp_path: Path) -> None:
    data, model = written(tmp_path, zones=1)
    folder = tmp_path / "run"
    found = refine_measured(data=data, model=model, folder=folder, treatments=("kinematical", "dynamical"))
    assert [r.kind for r in found.refinements] == ["kinematical_non_averaged", "kinematical_averaged"]
    assert all(r.r_obs_percent < 0.1 for r in found.refinements)
    again = read_model(folder / "kinematical_averaged.cif")
    assert again.sites[1].fract == pytest.approx((0.8547, 0.5858, 0.6187), abs=1e-4)
    block = gemmi.cif.read(str(folder / "kinematical_averaged.cif")).sole_block()
    lengths = [gemmi.cif.as_number(v) for v in block.find_loop("_geom_bond_distance")]
    assert lengths == pytest.approx([1.605, 1.617, 1.617, 1.605], abs=2e-3)
    assert len(block.find_loop("_geom_angle")) == 7
    weights = gemmi.cif.as_string(block.find_value("_refine_ls_weighting_details"))
    assert weights == r"w=1/[\s^2^(I)+(0.02I)^2^]"
    read = gemmi.read_ccp4_map(str(folder / "kinematical_averaged_difference.ccp4"), setup=True)
    assert np.abs(read.grid.array).max() < 0.5  # volts: nothing is left
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["frames"] == 0
    assert "NaN" not in (folder / "summary.json").read_text()
    assert len((folder / "kinematical_averaged_fo_fc.txt").read_text().splitlines()) > 50
    assert "<svg" not in (folder / "report.html").read_text()  # pictures are data, not markup
    with pytest.raises(InputError, match="one line a reflection"):
        refine_measured(data=data, model=model, folder=tmp_path / "b", treatments=("dynamical",))
    with pytest.raises(InputError, match="--overwrite"):
        refine_measured(data=data, model=model, folder=folder, treatments=("kinematical",))


@pytest.mark.parametrize("zones", [1, 6])
def test_data_without_anything_observed_are_refused_in_a_sentence(tmp_path: Path, zones: int) -> None:
    data, model = written(tmp_path, zones=zones)
    head, mark, body = data.read_text().partition("_refln_zone_axis_id\n")
    rows = [line.split() for line in body.splitlines()]
    data.write_text(head + mark + "\n".join(" ".join([*w[:4], f"{float(w[3]) + 50}", w[5]]) for w in rows) + "\n")
    sets = ["steps=4", "max_cycles=1", "thickness_nm=10", "anisotropic=no"] if zones > 1 else []
    with pytest.raises(InputError, match="above 3σ"):
        refine_measured(data=data, model=model, folder=tmp_path / "run", treatments=("kinematical",), sets=sets)


def test_reflections_go_no_farther_out_than_beams() -> None:
    settings = DynamicalSettings(g_max_per_angstrom=1.9, reflection_g_max_per_angstrom=1.7)
    assert override(settings, ["g_max_per_angstrom=1.2"]).reflection_g_max_per_angstrom == 1.2
    with pytest.raises(InputError, match="must not be above"):
        override(settings, ["g_max_per_angstrom=1.2", "reflection_g_max_per_angstrom=1.5"])


def test_frames_are_refined_and_their_folder_is_complete(tmp_path: Path) -> None:
    """Kinematical intensities on frames; the dynamical path differs by one setting and takes minutes."""
    data, model = written(tmp_path, zones=6)
    folder, said = tmp_path / "run", list[str]()
    found = refine_measured(
        data=data, model=model, folder=folder, treatments=("kinematical",), say=said.append,
        sets=["steps=8", "mosaic_blocks=1", "refine_mosaicity=no", "mosaicity_deg=0", "max_cycles=3",
              "hold_out_every=2", "thickness_nm=10", "anisotropic=no", "minimum_reflections_per_frame=4"],
    )  # fmt: skip
    (refinement,) = found.refinements
    assert refinement.kind == "kinematical_frame_based"
    assert refinement.held_out_r_obs_percent is not None
    names = {p.name for p in folder.iterdir()}
    kind = refinement.kind
    assert names == {"summary.json", "report.html", f"{kind}.cif", f"{kind}_fo_fc.txt", f"{kind}_difference.ccp4"}
    assert any("refinement" in sentence for sentence in said)
    assert json.loads((folder / "summary.json").read_text())["settings"]["steps"] == 8
    assert (folder / "report.html").read_text().count("<img") >= 5
