"""Files of the solution, read back by gemmi."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from pipeline.solution.output import ccp4_map, shelx_res
from twin.physics.symmetry import operations
from validation.solution.materials import OTHERS, STUDY

MATERIALS = STUDY | OTHERS


def test_ccp4_map_keeps_axes_cell_and_values(tmp_path):
    crystal = STUDY["brookite"].crystal
    rho = np.random.default_rng(1).standard_normal((6, 8, 10))
    path = tmp_path / "solution.ccp4"
    path.write_bytes(ccp4_map(crystal, rho))
    read = gemmi.read_ccp4_map(str(path), setup=True)
    values = np.array(read.grid, copy=False)
    assert values.shape == rho.shape
    assert np.corrcoef(values.ravel(), rho.ravel())[0, 1] == pytest.approx(1.0, abs=1e-6)
    assert read.grid.unit_cell.parameters == pytest.approx(crystal.cell.parameters, rel=1e-6)
    assert read.grid.spacegroup.number == 61


@pytest.mark.parametrize("name", list(MATERIALS))
def test_cards_of_the_res_file_generate_the_group_again(name):
    crystal = MATERIALS[name].crystal
    lines = shelx_res(crystal, wavelength_angstrom=0.0251).splitlines()
    latt = int(next(x.split()[1] for x in lines if x.startswith("LATT")))
    triplets = ["x,y,z", *[x[5:].lower() for x in lines if x.startswith("SYMM")]]
    if latt > 0:
        triplets += [gemmi.Op(t).combine(gemmi.Op("-x,-y,-z")).triplet() for t in triplets]
    centring = "PIRFABC"[abs(latt) - 1]
    found = gemmi.GroupOps([gemmi.Op(t) for t in triplets])
    found.add_missing_elements()
    found.cen_ops = gemmi.symops_from_hall({"R": 'R 3'}.get(centring, f"{centring} 1")).cen_ops
    assert len(list(found)) == len(operations(crystal.hall))
    assert {op.wrap().triplet() for op in found} == {op.wrap().triplet() for op in gemmi.symops_from_hall(crystal.hall)}
