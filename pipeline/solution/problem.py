"""Data in conventional and primitive indices, what the cell holds, and tables for one setting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.solution.absences import absences
from pipeline.solution.composition import classes, formula_units, is_molecular, parse_formula
from pipeline.solution.flipping import Complexes, make_grid
from pipeline.solution.groups import Candidate, primitive_basis
from pipeline.solution.model import design
from pipeline.solution.spots import Spots, prepare
from pipeline.solution.symmetrise import impose, recycle
from pipeline.solution.valence import oxidation_states
from pipeline.solution.workspace import Workspace, unique_rows
from pipeline.types import MergedReflections
from twin.model.crystal import Cell
from twin.physics.lattice import Ints, cell_volume_angstrom3, direct_matrix
from twin.physics.symmetry import systematically_absent

ABSENCE_LIMIT = 0.35  # <I_absent>/<I_allowed> that multiple scattering may reach
DATA_LIMIT_PER_ANGSTROM = 1.45


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Spots, their indices in the primitive lattice, the formula, and numbers of formula units that fit the cell."""

    spots: Spots
    primitive_hkl: Ints
    composition: str
    formula: dict[str, float]
    numbers: tuple[int, ...]


def pose(*, merged: MergedReflections, cell: Cell, composition: str, volume_angstrom3: float | None) -> Problem:
    """The problem that a list of intensities and a formula (with its volume, if known) pose."""
    formula = parse_formula(composition)
    spots = prepare(merged=merged, cell=cell, g_max_per_angstrom=DATA_LIMIT_PER_ANGSTROM)
    hkl = np.rint(spots.hkl @ primitive_basis(spots.centring)).astype(np.int64)
    numbers = formula_units(formula, volume_angstrom3=cell_volume_angstrom3(cell), given_angstrom3=volume_angstrom3)
    return Problem(spots=spots, primitive_hkl=hkl, composition=composition, formula=formula, numbers=tuple(numbers))


def contradicted(spots: Spots, hall: str) -> bool:
    """Whether reflections that the group forbids are bright on average (ratio of intensities, not significance)."""
    found = absences(hkl=spots.hkl, g=spots.g, e_squared=spots.e**2, measured=spots.measured, hall=hall)
    return found.count >= 4 and found.ratio > ABSENCE_LIMIT


def workspace(problem: Problem, hall: str) -> Workspace:
    """Tables for models in one setting."""
    spots = problem.spots
    kinds = classes(problem.formula)
    elements = tuple(e for k in kinds for e in k.elements)
    rows = unique_rows(spots.unique, spots.measured & ~systematically_absent(spots.hkl, hall))
    f_obs = np.sqrt(spots.raw)
    return Workspace(
        hall=hall, direct=direct_matrix(spots.cell), basis=primitive_basis(spots.centring),
        grid=make_grid(problem.primitive_hkl, oversampling=1.9),
        half=design(hall=hall, cell=spots.cell, hkl=spots.hkl, elements=elements),
        unique=design(hall=hall, cell=spots.cell, hkl=spots.hkl[rows], elements=elements),
        f_obs=f_obs[rows], half_f_obs=f_obs, measured=spots.measured, kinds=kinds, elements=elements,
        molecular=is_molecular(problem.formula), states=oxidation_states(problem.formula),
    )  # fmt: skip


def symmetric_map(problem: Problem, candidate: Candidate, f: Complexes, *, cycles: int) -> Complexes:
    """F_obs with the phases of f in the candidate's setting, symmetrised and cleaned."""
    spots = problem.spots
    phased_e = recycle(candidate=candidate, hkl=spots.hkl, primitive_hkl=problem.primitive_hkl, f=f, e=spots.e,
                       measured=spots.measured, cycles=cycles)  # fmt: skip
    phased = impose(phased_e, np.sqrt(spots.intensity), spots.measured)
    return np.asarray(np.where(spots.measured, phased, 0.0))
