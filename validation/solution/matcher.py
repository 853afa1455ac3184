"""Our comparison of structures beside pymatgen's matcher: the same displaced structures, its own environment."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np

from twin.model.crystal import Crystal
from twin.physics.lattice import direct_matrix
from twin.physics.symmetry import operations, orbit
from validation.compare import compare_structures
from validation.rows import Row
from validation.solution.materials import STUDY

VARIABLE = "EDTWIN_PEER_PYMATGEN"
SCRIPT = Path(__file__).parents[1] / "peers" / "pymatgen_matcher.py"
DISPLACEMENT_ANGSTROM = 0.05
AGREE_ANGSTROM = 1e-3
ORIGIN_SHIFTS = {"brookite": (0.5, 0.0, 0.5), "anatase": (0.5, 0.5, 0.0), "in2o3": (0.5, 0.5, 0.5),
                 "mgti2o5": (0.5, 0.5, 0.0)}  # fmt: skip


def displaced(crystal: Crystal, *, seed: int, shift: tuple[float, float, float]) -> Crystal:
    """Every position moved as its site symmetry allows (a sixtieth of the cell at random at most), then the origin."""
    rng = np.random.default_rng(seed)
    direct, ops = direct_matrix(crystal.cell), operations(crystal.hall)
    moved: dict[tuple[float, float, float], tuple[float, float, float]] = {}
    for site in crystal.sites:
        if site.fract in moved:
            continue
        x = np.array(site.fract)
        image = ops.rotations @ x + ops.translations - x
        fixed = np.all(np.abs(image - np.round(image)) < 1e-4, axis=1)
        step = np.linalg.solve(direct, DISPLACEMENT_ANGSTROM * rng.standard_normal(3))
        new = x + ops.rotations[fixed].mean(axis=0) @ step + np.array(shift)
        moved[site.fract] = (float(new[0]), float(new[1]), float(new[2]))
    return replace(crystal, sites=tuple(replace(s, fract=moved[s.fract]) for s in crystal.sites))


def _atoms(crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
    """Every atom of the cell, a shared position with its main element: (n, 3), (n,) atomic numbers."""
    chosen = {s.fract: s for s in sorted(crystal.sites, key=lambda s: s.occupancy)}
    parts = [orbit(s.fract, crystal.hall) for s in chosen.values()]
    kinds = [gemmi.Element(s.element).atomic_number for s in chosen.values()]
    numbers = [np.full(len(part), kind) for part, kind in zip(parts, kinds, strict=True)]
    return np.concatenate(parts), np.concatenate(numbers)


def matcher_rows(*, folder: Path, seed: int = 7) -> list[Row]:
    """Largest distance by both, one row a material; nothing when $EDTWIN_PEER_PYMATGEN names no Python."""
    python = os.environ.get(VARIABLE, "")
    if not Path(python).is_file():
        return []
    rows = []
    for name, material in STUDY.items():
        other = displaced(material.crystal, seed=seed, shift=ORIGIN_SHIFTS[name])
        (one, z1), (two, z2) = _atoms(material.crystal), _atoms(other)
        problem, result = folder / f"matcher-{name}.npz", folder / f"matcher-{name}.out.npz"
        np.savez(problem, lattice=direct_matrix(material.crystal.cell).T, fract1=one, fract2=two, numbers1=z1,
                 numbers2=z2)  # fmt: skip
        ours = compare_structures(material.crystal, other).max_distance_angstrom
        rows.append(_row(name, ours, _asked(python, problem, result), n=len(one)))
    return rows


def _asked(python: str, problem: Path, result: Path) -> tuple[float | None, str]:
    """pymatgen's largest distance in Å, and why there is none."""
    request = json.dumps({"problem": str(problem), "work": "compare", "result": str(result)}) + "\n"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([python, str(SCRIPT)], input=request, text=True, capture_output=True, check=False,
                          env=environment)  # fmt: skip
    if not result.is_file():
        said = (done.stdout + done.stderr).strip().splitlines()
        return None, f"pymatgen gave no answer (exit {done.returncode}): {said[-1][:150] if said else 'nothing said'}"
    largest = float(np.load(result)["largest"])
    return (largest, "") if np.isfinite(largest) else (None, "pymatgen finds no match")


def _row(name: str, ours: float, answer: tuple[float | None, str], *, n: int) -> Row:
    """A peer that was asked and gave nothing leaves the goal not met."""
    theirs, complaint = answer
    return Row(id=f"matcher-{name}", quantity=f"{name}: largest distance of displaced atoms", value=ours, unit="Å",
               peer="pymatgen", peer_value=theirs, goal=f"equal within {AGREE_ANGSTROM} Å",
               met=theirs is not None and abs(ours - theirs) < AGREE_ANGSTROM, n=n, note=complaint)  # fmt: skip
