"""cctbx's charge flipping beside ours: the same normalised amplitudes, the space group given to cctbx and not to us."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.types import MergedReflections
from twin.model.crystal import Crystal
from twin.physics.lattice import Ints, reciprocal_matrix
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import systematically_absent
from validation.rows import Row
from validation.solution.conditions import CONDITIONS, simulated_data
from validation.solution.materials import STUDY
from validation.solution.trial import Trial

VARIABLE = "EDTWIN_PEER_CCTBX"
SCRIPT = Path(__file__).parents[1] / "peers" / "cctbx_flipping.py"
RIGHT_CORRELATION = 0.8  # of the map with the true one, at the best origin
SHELLS = 8
PEER_CONDITIONS = tuple(CONDITIONS)
GRID = 64


def normalised(merged: MergedReflections, crystal: Crystal) -> NDArray[np.float64]:
    """√(I/<I>) in shells of equal numbers of reflections."""
    g = np.linalg.norm(merged.hkl @ reciprocal_matrix(crystal.cell).T, axis=1)
    intensity = np.maximum(merged.intensity, 0.0)
    e = np.zeros(len(g))
    for rows in np.array_split(np.argsort(g), SHELLS):
        e[rows] = np.sqrt(intensity[rows] / max(float(intensity[rows].mean()), 1e-30))
    return e


def map_correlation(crystal: Crystal, hkl: Ints, f: NDArray[np.complex128]) -> float:
    """Largest correlation of a phase set (half a sphere in P1) with the true one over origins, either hand.

    Grid of 64 steps a cell edge: phases of reflections to |h| = 12 are off by at most 0.6 rad at the nearest step.
    """
    true = structure_factors(crystal=crystal, hkl=hkl)
    best = 0.0
    for reference in (true, np.conj(true)):
        product = f * np.conj(reference)
        grid = np.zeros((GRID,) * 3, dtype=np.complex128)
        np.add.at(grid, tuple((hkl % GRID).T), product)
        np.add.at(grid, tuple((-hkl % GRID).T), np.conj(product))
        best = max(best, float(np.fft.fftn(grid).real.max()) / (2.0 * float(np.abs(product).sum())))
    return best


def cctbx_rows(
    trials: Sequence[Trial], *, folder: Path, seeds: Sequence[int], conditions: Sequence[str] = PEER_CONDITIONS
) -> list[Row]:
    """One row a material: share solved by cctbx beside ours; nothing when $EDTWIN_PEER_CCTBX names no Python."""
    python = os.environ.get(VARIABLE, "")
    if not Path(python).is_file():
        return []
    requests, wanted = [], []
    for name, material in STUDY.items():
        for number, condition in enumerate(conditions):
            settings = CONDITIONS[condition]
            for seed in seeds:
                path = folder / f"{name}-{number}-{seed}.npz"
                _write(path, material.crystal, seed, settings)
                requests.append({"problem": str(path), "work": str(seed), "result": str(path) + ".out.npz"})
                wanted.append((name, condition, seed))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([python, str(SCRIPT)], input="\n".join(map(json.dumps, requests)) + "\n", text=True,
                          capture_output=True, check=False, env=environment)  # fmt: skip
    lines = done.stdout.splitlines()  # cctbx's own messages may stand between the answers
    answers = [json.loads(line) for line in lines if line.startswith(('{"seconds"', '{"error"'))]
    solved: dict[str, list[bool]] = {}
    seconds: dict[str, list[float]] = {}
    for (name, _, _), request, answer in zip(wanted, requests, answers, strict=False):
        solved.setdefault(name, []).append("error" not in answer and _right(name, Path(request["result"])))
        if "seconds" in answer:
            seconds.setdefault(name, []).append(float(answer["seconds"]))
    return [_row(name, solved[name], seconds.get(name, []), trials) for name in solved]


def _write(path: Path, crystal: Crystal, seed: int, settings: Mapping[str, float]) -> None:
    merged = simulated_data(crystal, seed=seed, **settings)
    keep = ~systematically_absent(merged.hkl, crystal.hall)
    np.savez(path, hkl=merged.hkl[keep], amplitude=normalised(merged, crystal)[keep], cell=crystal.cell.parameters,
             hall=crystal.hall)  # fmt: skip


def _right(name: str, path: Path) -> bool:
    with np.load(path) as data:
        hkl, f = data["hkl"], data["f"]
    return len(hkl) > 0 and map_correlation(STUDY[name].crystal, hkl, f) > RIGHT_CORRELATION


def _row(name: str, solved: Sequence[bool], seconds: Sequence[float], trials: Sequence[Trial]) -> Row:
    own = [t for t in trials if t.material == name and t.condition in PEER_CONDITIONS]
    value = 100.0 * float(np.mean([t.right and t.claimed for t in own])) if own else None
    ours = f"ours {np.median([t.cpu_s for t in own]):.2f} s without the group (n {len(own)}), " if own else ""
    theirs = f"cctbx {np.median(seconds):.2f} s with it (phases alone)" if seconds else "cctbx gave no times"
    return Row(id=f"cctbx-{name}", quantity=f"{name}: solved over the eleven conditions", value=value, unit="%",
               peer="cctbx", peer_value=100.0 * float(np.mean(solved)), n=len(solved), note=ours + theirs)  # fmt: skip
