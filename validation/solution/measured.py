"""Solution from measured 3D ED intensities, compared with the published structures (../shared/realdata)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import gemmi
import numpy as np

from pipeline.io.cif_pets import PetsFile, read_cif_pets
from pipeline.solution.laue import conforming_cell, merged_in
from pipeline.solution.lists import kinematical_observations
from pipeline.solution.solve import solve_structure
from pipeline.types import MergedReflections, Solution
from twin.model.crystal import Cell, Crystal, Site
from twin.physics.lattice import miller_indices, reciprocal_matrix
from twin.physics.symmetry import asymmetric_hkl
from validation.compare import Comparison, compare_structures

LIMIT_ANGSTROM = 0.2  # from the published structure


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A list of intensities and the structure that was published.

    laue: Hall symbol to merge in. swept: a list for dynamical refinement, which keeps the Lorentz factor.
    """

    name: str
    reflections: str
    reference: str
    laue: str
    formula: str
    d_min_angstrom: float = 0.7
    swept: bool = True


CASES = (
    Measured(name="quartz", reflections="quartz_pets/quartz_exp_data.cif_pets",
             reference="quartz_pets/quartz_P3221_reference.cif", laue='-P 3 2"', formula="SiO2"),
    Measured(name="urea", reflections="urea/pets2_urea.cif_pets",
             reference="urea/jana2020_urea_dynamical_IAM.cif", laue="-P 4 2", formula="CH4N2O"),
    Measured(name="glycine", reflections="glycine_pets/glycine.cif_pets", swept=False,
             reference="glycine_pets/alpha_glycine.cif", laue="-P 2y", formula="C2H5NO2"),
    Measured(name="glycine, frames", reflections="glycine_pets/glycine_dyn.cif_pets",
             reference="glycine_pets/alpha_glycine.cif", laue="-P 2y", formula="C2H5NO2"),
    Measured(name="albite", reflections="albite/pets2_albite.cif_pets",
             reference="albite/jana2006_albite.cif", laue="-P 1", formula="NaAlSi3O8"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """The solution, its comparison with the published heavy atoms, CPU seconds, number of unique reflections
    and their share of those that the sphere holds."""

    case: Measured
    solution: Solution
    comparison: Comparison | None
    cpu_s: float
    reflections: int
    completeness: float


def averaged(pets: PetsFile, *, laue: str, g_max_per_angstrom: float) -> MergedReflections:
    """Each reflection of the Laue class averaged over all frames, as a solution averages them."""
    length = np.linalg.norm(pets.hkl @ pets.ub.T, axis=1)
    use = (length > 0) & (length <= g_max_per_angstrom)
    lines = MergedReflections(
        hkl=pets.hkl[use], intensity=pets.intensity[use], sigma=pets.sigma[use], hall="-P 1",
        multiplicity=np.ones(int(use.sum()), dtype=np.int64), r_int_percent=float("nan"),
        completeness_percent=float("nan"), redundancy=1.0, g_max_per_angstrom=g_max_per_angstrom,
    )  # fmt: skip
    return merged_in(lines, laue)


def heavy_reference(path: Path, laue: str) -> Crystal:
    """The published structure without hydrogen, in a cell of its own symmetry (some files print the measured one)."""
    blocks = [b for b in gemmi.cif.read(str(path)) if b.find_loop("_atom_site_fract_x")]
    small = gemmi.make_small_structure_from_block(blocks[-1])
    group = small.spacegroup
    if group is None:
        raise ValueError(f"{path.name}: names no space group that is in the tables")
    sites = tuple(
        Site(label=s.label, element=s.element.name, fract=(s.fract.x, s.fract.y, s.fract.z), occupancy=s.occ,
             u_iso_angstrom2=max(s.u_iso, 0.001))
        for s in small.sites if s.element.name not in ("H", "D")
    )  # fmt: skip
    cell = small.cell
    own = Cell(a_angstrom=cell.a, b_angstrom=cell.b, c_angstrom=cell.c, alpha_deg=cell.alpha, beta_deg=cell.beta,
               gamma_deg=cell.gamma)  # fmt: skip
    return Crystal(name=small.name, cell=conforming_cell(own, laue), hall=str(group.hall), sites=sites)


def solve_measured(case: Measured, *, folder: Path, seed: int = 1) -> Outcome:
    """Average, solve, compare."""
    pets = read_cif_pets(folder / case.reflections)
    observations = kinematical_observations(pets) if case.swept else pets
    merged = averaged(observations, laue=case.laue, g_max_per_angstrom=1.0 / case.d_min_angstrom)
    start = time.process_time()
    solution = solve_structure(merged=merged, cell=conforming_cell(pets.cell, case.laue), composition=case.formula,
                               seed=seed)  # fmt: skip
    seconds = time.process_time() - start
    reference = heavy_reference(folder / case.reference, case.laue)
    comparison = None
    if solution.crystal is not None:
        found = replace(solution.crystal, cell=reference.cell)
        comparison = compare_structures(reference, found)
    sphere = miller_indices(reciprocal=reciprocal_matrix(reference.cell), g_max_per_angstrom=1.0 / case.d_min_angstrom)
    possible = len(np.unique(asymmetric_hkl(sphere[1:], case.laue), axis=0))
    return Outcome(case=case, solution=solution, comparison=comparison, cpu_s=seconds, reflections=len(merged.hkl),
                   completeness=len(merged.hkl) / possible)  # fmt: skip


def measured_outcomes(folder: Path) -> Iterator[Outcome]:
    """Every case whose files are there."""
    for case in CASES:
        if (folder / case.reflections).is_file() and (folder / case.reference).is_file():
            yield solve_measured(case, folder=folder)
