"""What the options of charge flipping do: phases alone, by the share of random starts that end with the right ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pipeline.solution.flipping import flip_charges
from pipeline.solution.options import DEFAULT, FlipOptions
from pipeline.solution.problem import pose
from validation.rows import Row
from validation.solution.conditions import ELEVEN, DataOf, simulated_data
from validation.solution.materials import OTHERS, STUDY, Material
from validation.solution.peer import RIGHT_CORRELATION, map_correlation

STARTS = 4
HALF: Mapping[str, DataOf] = {"half missing": partial(simulated_data, cone_deg=62.0, noise=0.2, d_min=0.8)}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "the options that are used when none is given": {},
    "delta=0.9": {"delta": 0.9},
    "delta=1.0": {"delta": 1.0},
    "delta=1.3": {"delta": 1.3},
    "normalise=F": {"normalise": "F"},
    "normalise=F, delta=0.8": {"normalise": "F", "delta": 0.8},
    "normalise=F, delta=1.2": {"normalise": "F", "delta": 1.2},
    "missing=float": {"missing": "float"},
    "missing=zero": {"missing": "zero"},
    "weak_share=0": {"weak_share": 0.0},
    "weak_share=0.2": {"weak_share": 0.2},
    "weak_share=0.5": {"weak_share": 0.5},
    "cycles=70": {"cycles": 70},
    "cycles=540": {"cycles": 540},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phased:
    """Starts whose map is right, starts made, whether the start with the lowest residual is right; CPU seconds."""

    right: int
    made: int
    best: bool
    cpu_s: float


def phase(material: Material, data: DataOf, options: FlipOptions, *, seed: int) -> Phased:
    """Charge flipping alone: no group, no atoms, no second batch of starts."""
    problem = pose(merged=data(material.crystal, seed), cell=material.crystal.cell, composition=material.formula,
                   volume_angstrom3=None)  # fmt: skip
    spots = problem.spots
    begin = time.process_time()
    phased, residual = flip_charges(
        hkl=problem.primitive_hkl, e=spots.e, level=spots.level, measured=spots.measured, starts=STARTS,
        generator=np.random.default_rng([seed, 1]), options=options, cycles=options.cycles,
    )  # fmt: skip
    seconds = time.process_time() - begin
    known = spots.measured
    right = [map_correlation(material.crystal, spots.hkl[known], f[known]) > RIGHT_CORRELATION for f in phased]
    return Phased(right=sum(right), made=STARTS, best=right[int(np.argmin(residual))], cpu_s=seconds)


def option_rows(*, seeds: Sequence[int]) -> list[Row]:
    """Two rows for each choice of options: the study's data, and lists of which half of the sphere is missing."""
    found = []
    for prefix, materials, conditions in (("option-eleven", STUDY, ELEVEN), ("option-half", OTHERS, HALF)):
        for name, changes in VARIANTS.items():
            options = FlipOptions(**changes) if changes else DEFAULT
            phased = [phase(material, data, options, seed=seed)
                      for seed in seeds for material in materials.values() for data in conditions.values()]  # fmt: skip
            found.append(_row(f"{prefix}-{name}", name, phased))
    return found


def _row(identity: str, name: str, phased: Sequence[Phased]) -> Row:
    share = 100.0 * sum(p.right for p in phased) / sum(p.made for p in phased)
    best = 100.0 * float(np.mean([p.best for p in phased]))
    some = 100.0 * float(np.mean([p.right > 0 for p in phased]))
    seconds = float(np.mean([p.cpu_s for p in phased])) / STARTS
    note = f"start with the lowest residual right {best:.1f} %, any of {STARTS} {some:.1f} %; {seconds:.3f} s a start"
    return Row(id=identity, quantity=name, value=share, unit="% of starts", n=len(phased), note=note)
