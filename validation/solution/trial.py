"""One solution from simulated data, judged against the structure that made them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.solution.solve import solve_structure
from pipeline.types import MergedReflections, Solution
from twin.model.crystal import Crystal
from validation.compare import compare_structures
from validation.solution.conditions import DataOf
from validation.solution.materials import Material

RIGHT_ANGSTROM = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came out: ``right`` is the right group with every atom and element within 0.2 Å."""

    material: str
    condition: str
    seed: int
    verdict: str
    space_group: str
    right: bool
    max_distance_angstrom: float
    missing: int
    spurious: int
    residual: float
    cpu_s: float
    evidence: tuple[tuple[str, float], ...] = ()

    @property
    def claimed(self) -> bool:
        """The verdict says 'solved', without a doubt."""
        return self.verdict.startswith("solved")

    @property
    def false_accept(self) -> bool:
        return self.claimed and not self.right


def _shared(crystal: Crystal) -> bool:
    """Whether elements share positions: where they do not in truth, a model with mixed positions is wrong."""
    return any(site.occupancy < 0.99 for site in crystal.sites)


def judged(
    material: Material, solution: Solution, *, name: str, condition: str, seed: int, cpu_s: float
) -> Trial:
    """The solution beside the truth."""
    result = None if solution.crystal is None else compare_structures(material.reference, solution.crystal)
    right = (
        result is not None and result.same_space_group and not result.missing and not result.spurious
        and result.max_distance_angstrom < RIGHT_ANGSTROM
        and (_shared(material.reference) or solution.crystal is None or not _shared(solution.crystal))
    )  # fmt: skip
    return Trial(
        material=name, condition=condition, seed=seed, verdict=solution.verdict, space_group=solution.space_group,
        right=right, max_distance_angstrom=float("nan") if result is None else result.max_distance_angstrom,
        missing=len(material.reference.sites) if result is None else len(result.missing),
        spurious=0 if result is None else len(result.spurious), residual=solution.residual, cpu_s=cpu_s,
        evidence=solution.evidence,
    )  # fmt: skip


def solve_material(material: Material, merged: MergedReflections, *, seed: int) -> tuple[Solution, float]:
    """The solution and its CPU seconds."""
    start = time.process_time()
    solution = solve_structure(merged=merged, cell=material.crystal.cell, composition=material.formula, seed=seed)
    return solution, time.process_time() - start


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One material under one condition with one seed (of the data and of the solver)."""

    name: str
    material: Material
    condition: str
    seed: int
    data: DataOf

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.name, self.condition, self.seed)

    def run(self) -> Trial:
        """Data, solution, judgement."""
        merged = self.data(self.material.crystal, self.seed)
        solution, seconds = solve_material(self.material, merged, seed=self.seed)
        return judged(self.material, solution, name=self.name, condition=self.condition, seed=self.seed, cpu_s=seconds)


def tasks(
    materials: Mapping[str, Material], conditions: Mapping[str, DataOf], *, seeds: Iterable[int]
) -> Iterator[Task]:
    """Every material under every condition, once for each seed; one seed after the other."""
    for seed in seeds:
        for name, material in materials.items():
            for condition, data in conditions.items():
                yield Task(name=name, material=material, condition=condition, seed=seed, data=data)
