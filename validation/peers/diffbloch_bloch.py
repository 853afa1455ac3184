"""diffBloch's solver on our problem.

Timed: assembly and propagation, plans (geometry and look-up tables) given. Work "matrix_exp" or "bloch_eigen": one
azimuth after another; "batched_matrix_exp", "batched_bloch_eigen": all azimuths on the union of their beams, as
diffBloch does it; "jacobian": forward derivatives of the frame's intensities by changes of the structure factors;
"gradient", "batched_gradient": reverse mode of their sum.
"""

import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import itertools

import numpy as np
import torch
import worker
from diffBloch.core import dynamical, solver

torch.set_num_threads(1)
TURN = np.diag([1.0, -1.0, -1.0])  # their beam runs along −z


def load(path):
    p = np.load(path)
    energy = float(p["energy_ev"])
    prefactor = dynamical.structure_matrix_prefactor(energy)
    gpts = tuple(int(2 * n + 1) for n in np.abs(p["hkl"]).max(axis=0))
    offsets = p["offsets"]
    beams = [p["beams"][a:b] for a, b in itertools.pairwise(offsets)]
    bases = [np.linalg.inv(p["direct"] @ (TURN @ r).T).T for r in p["rotations"]]  # rows a*, b*, c*
    hkl = np.asarray(p["hkl"])
    return {
        "f": torch.tensor(np.conj(p["u"]) / prefactor),
        "df": torch.tensor(np.conj(p["du"]) / prefactor) if "du" in p else None,
        "thickness": [float(t) for t in p["thickness"]],
        "hkl": hkl,
        "gpts": gpts,
        "energy": energy,
        "beams": beams,
        "bases": bases,
        "plans": None,
        "batch": None,
    }


def single_plans(s):
    if s["plans"] is None:
        s["plans"] = [
            dynamical.build_beam_plan(b, s["hkl"], basis, energy=s["energy"], gpts=s["gpts"], validate=False)
            for b, basis in zip(s["beams"], s["bases"], strict=False)
        ]
    return s["plans"]


def batched_plan(s):
    if s["batch"] is None:
        union = np.unique(np.concatenate(s["beams"]), axis=0)
        order = np.argsort(np.abs(union).sum(axis=1), kind="stable")
        union = union[order]
        gather = dynamical.build_structure_factor_gather(s["hkl"], union, s["gpts"], validate=False)
        plans = [
            dynamical.build_beam_plan(
                union, s["hkl"], basis, energy=s["energy"], gpts=s["gpts"], gather=gather, validate=False
            )
            for basis in s["bases"]
        ]
        s["batch"] = dynamical.stack_beam_plans(plans)
    return s["batch"]


def frame_intensity(s, f):
    system = dynamical.build_bloch_systems(batched_plan(s), f)
    waves = solver.propagate(system, s["thickness"], method="matrix_exp", max_batch=4)
    return waves.abs().square().mean(dim=0)


def evaluate(s, work):
    if work in ("matrix_exp", "bloch_eigen"):
        intensity = []
        for plan in single_plans(s):
            system = dynamical.build_bloch_system(plan, s["f"])
            intensity.append(solver.propagate(system, s["thickness"], method=work).abs().square().numpy())
        return {"intensity": np.concatenate(intensity, axis=1)}
    if work == "matrix_64":  # their matrix, exponentiated in 64 bit: their solver works in 32 bit
        intensity = []
        for plan in single_plans(s):
            system = dynamical.build_bloch_system(plan, s["f"])
            for t in s["thickness"][:1]:
                transfer = torch.matrix_exp(system.a * (1j * np.pi * t / system.k_n))
                intensity.append((transfer @ system.psi0).abs().square().numpy()[None])
        return {"intensity": np.concatenate(intensity, axis=1)}
    if work == "batched_gradient":  # of a frame on the union of its beams, as its refinement does it
        f = s["f"].clone().requires_grad_(True)
        frame_intensity(s, f).sum().backward()
        return {"gradient": f.grad.numpy()}
    if work.startswith("batched_"):
        system = dynamical.build_bloch_systems(batched_plan(s), s["f"])
        waves = solver.propagate(system, s["thickness"], method=work.removeprefix("batched_"), max_batch=8)
        return {"mean": waves.abs().square().mean(dim=0).numpy()}
    if work == "gradient":
        f = s["f"].clone().requires_grad_(True)
        total = frame_intensity_single(s, f).sum()
        total.backward()
        return {"gradient": f.grad.numpy()}
    if work == "jacobian":
        columns = [
            torch.func.jvp(lambda f: frame_intensity_single(s, f), (s["f"],), (d.to(s["f"].dtype),))[1] for d in s["df"]
        ]
        return {"jacobian": torch.stack(columns).numpy()}
    raise ValueError(work)


def frame_intensity_single(s, f):
    """Intensities of every azimuth on its own beams, one vector."""
    parts = []
    for plan in single_plans(s):
        system = dynamical.build_bloch_system(plan, f)
        parts.append(solver.propagate(system, s["thickness"], method="matrix_exp").abs().square().sum(dim=0))
    return torch.cat(parts)


if __name__ == "__main__":
    worker.serve(load, evaluate, {"name": "diffBloch", "version": version("diffBloch")})
