"""Charge flipping of cctbx (smtbx.ab_initio) with the space group given. Runs in cctbx's own environment.

problem.npz: hkl (n, 3), amplitude (n,) normalised, cell (6,), hall (string), seed. Result: hkl (m, 3), f (m,) complex
of the first solution; empty when it gave none.
"""

import sys
from pathlib import Path

import cctbx
import numpy as np
from cctbx import crystal, miller, sgtbx, uctbx
from cctbx.array_family import flex
from smtbx.ab_initio import charge_flipping

sys.path.insert(0, str(Path(__file__).parent))
from worker import serve

RETRIES = 3


def load(path):
    with np.load(path) as data:
        return {name: data[name] for name in data.files}


def evaluate(problem, work):
    seed = int(work)
    flex.set_random_seed(seed)
    group = sgtbx.space_group(str(problem["hall"]))
    symmetry = crystal.symmetry(
        unit_cell=uctbx.unit_cell(tuple(float(x) for x in problem["cell"])),
        space_group_info=sgtbx.space_group_info(group=group),
    )
    indices = flex.miller_index([tuple(int(i) for i in h) for h in problem["hkl"]])
    amplitude = flex.double([float(a) for a in problem["amplitude"]])
    f_obs = miller.array(miller.set(symmetry, indices, anomalous_flag=False), data=amplitude)
    f_obs.set_observation_type_xray_amplitude()
    for _ in range(RETRIES):
        solving = charge_flipping.solving_iterator(
            charge_flipping.weak_reflection_improved_iterator(delta=None),
            f_obs,
            max_attempts_to_get_phase_transition=2,  # a third stops with an error in this version
        )
        charge_flipping.loop(solving, verbose=False)
        if solving.f_calc_solutions:
            break
    else:
        return {"hkl": np.zeros((0, 3), dtype=np.int64), "f": np.zeros(0, dtype=np.complex128)}
    found = solving.f_calc_solutions[0][0].expand_to_p1()
    return {"hkl": np.array(list(found.indices()), dtype=np.int64), "f": np.array(list(found.data()))}


if __name__ == "__main__":
    serve(load, evaluate, {"name": "cctbx", "version": str(getattr(cctbx, "__version__", "base"))})
