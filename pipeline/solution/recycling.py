"""Leave atoms out, look for them again: a way out of false minima, and the evidence that a model is right.

A map with the phases of the atoms that stay shows what was left out where the data want it, not where the model had
it (omit maps: Bhat & Cohen, J. Appl. Cryst. 17 (1984) 244; random omission in the recycling of peak lists: Sheldrick,
Acta Cryst. D58 (2002) 1772).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from pipeline.solution.atoms import (
    START_U_ANGSTROM2,
    Model,
    Workspace,
    finish,
    least_distances_kept,
    ordered_choices,
    place_atoms,
    unexplained,
)
from pipeline.solution.flipping import Complexes, density
from pipeline.solution.model import Atoms, free_directions, refine, structure_factors_of
from pipeline.solution.peaks import distances, orbit_of
from twin.physics.lattice import Floats, Ints
from twin.physics.symmetry import operations

OMITTED_SHARE = 0.3
SINGLE_SITES = 6  # models with no more sites have them omitted one by one
REFOUND_ANGSTROM = 0.35
SHAKES, SHAKE_ANGSTROM = 24, 0.6
SHAKEN_R = 0.08  # models with a lower R are not shaken
CLEARLY_BETTER = 0.85
POWERS = np.linspace(1.0, 0.4, 13)
BETTER = 0.98  # a model must be better by this factor to replace another
WORTH_FINISHING = 0.03  # R of a trial above the model's by more than this is not looked at further


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Omission:
    """Outcome of leaving every atom out once: the best model met, and the share of atoms that came back.

    recovered: Σ multiplicity of omitted atoms found within 0.35 Å of where they were / Σ multiplicity omitted.
    """

    model: Model
    recovered: float
    phased: Complexes  # the map that the model is judged by


def omission_groups(atoms: Atoms, generator: np.random.Generator) -> list[Ints]:
    """Index sets that cover all sites, none of them all sites of the strongest class."""
    sites = np.arange(len(atoms.kind))
    strong = sites[atoms.kind == 0]
    if len(strong) == 1:
        sites = sites[atoms.kind > 0]
    if len(sites) <= SINGLE_SITES:
        return [sites[i : i + 1] for i in range(len(sites))]
    shuffled = generator.permutation(sites)
    count = max(2, round(1.0 / OMITTED_SHARE))
    return [np.sort(shuffled[i::count]) for i in range(count)]


def subset(atoms: Atoms, rows: Ints) -> Atoms:
    """Some of the sites."""
    return replace(atoms, fract=atoms.fract[rows], multiplicity=atoms.multiplicity[rows], kind=atoms.kind[rows],
                   occupancy=atoms.occupancy[rows])  # fmt: skip


def _phased_by(space: Workspace, atoms: Atoms) -> Complexes:
    f = structure_factors_of(space.half, atoms)
    return np.asarray(np.where(space.measured, space.half_f_obs * f / np.maximum(np.abs(f), 1e-12), 0.0))


def _refound(space: Workspace, before: Atoms, after: Atoms, rows: Ints) -> int:
    """Multiplicity of the sites ``rows`` of ``before`` that ``after`` has too, with the same class."""
    ops = operations(space.hall)
    found = 0
    for i in rows:
        own: list[Floats] = [after.fract[j] for j in np.flatnonzero(after.kind == before.kind[i])]
        images = orbit_of(before.fract[i], ops)
        if any(distances(x, images, space.direct).min() < REFOUND_ANGSTROM for x in own):
            found += int(before.multiplicity[i])
    return found


def omit_and_return(
    space: Workspace, phased: Complexes, model: Model, *, generator: np.random.Generator, turns: int = 3
) -> Omission:
    """Leave out groups of atoms in turn and place them again; begin anew with every model that is better."""
    best, phased = shake(space, phased, model, generator=generator)
    recovered = 0.0
    for _ in range(turns):
        start = best
        omitted = back = 0
        for rows in omission_groups(start.atoms, generator):
            kept = subset(start.atoms, np.setdiff1d(np.arange(len(start.atoms.kind)), rows))
            trials = [
                refine(space.unique, atoms, f_obs=space.f_obs, direct=space.direct, cycles=6)
                for atoms in place_atoms(space, _phased_by(space, kept), formula_units=start.formula_units, kept=kept)
            ]
            weight = int(start.atoms.multiplicity[rows].sum())
            omitted += weight
            if not trials:
                continue
            top, r = min(trials, key=lambda t: t[1] + 0.5 * unexplained(space, phased, t[0]))
            back += max(_refound(space, start.atoms, atoms, rows) for atoms in (trials[0][0], top))
            if _refound(space, start.atoms, top, rows) == weight or r > start.r + WORTH_FINISHING:
                continue
            found = finish(space, phased, top, start.formula_units)
            if found.figure < BETTER * best.figure:
                best = found
        recovered = back / omitted if omitted else 1.0
        if best is start:
            break
    return Omission(model=best, recovered=recovered, phased=phased)


def shake(
    space: Workspace, phased: Complexes, model: Model, *, generator: np.random.Generator
) -> tuple[Model, Complexes]:
    """The best of some refinements that start from displaced atoms, and the map to judge it by.

    Pseudo-symmetric structures have wells beside the right one: in bixbyite the displacement of a cation from its place
    in fluorite with the wrong sign, which omission cannot tell, because all other atoms take part in the error.
    """
    if model.r < SHAKEN_R:
        return model, phased
    start = model.atoms
    count = len(start.kind)
    inverse = np.linalg.inv(space.direct)
    free = [free_directions(x, space.hall, space.direct) for x in start.fract]
    tables = [start.occupancy, *ordered_choices(start, space, model.formula_units)[:8]]
    best, r_best = start, model.r
    for _ in range(SHAKES):
        chosen = generator.random(count) < min(0.6, 3.0 / count)
        steps = generator.standard_normal((count, 3)) * SHAKE_ANGSTROM @ inverse.T
        moves = np.array([f @ np.linalg.pinv(f) @ s for f, s in zip(free, steps, strict=True)])
        moved = replace(start, fract=start.fract + moves * chosen[:, None],
                        occupancy=tables[int(generator.integers(len(tables)))],
                        u_iso_angstrom2=np.full_like(start.u_iso_angstrom2, START_U_ANGSTROM2))  # fmt: skip
        atoms, r = refine(space.unique, moved, f_obs=space.f_obs, direct=space.direct, cycles=15)
        if r < r_best and least_distances_kept(space, atoms):
            best, r_best = atoms, r
    if best is start or r_best > CLEARLY_BETTER * model.r:
        return model, phased
    phases = _phased_by(space, best)
    return replace(model, atoms=best, r=r_best, residual=unexplained(space, phases, best)), phases


def difference_peak(space: Workspace, atoms: Atoms) -> float:
    """Highest peak of the difference map F_o − kF_c^p (model's phases) over the lowest atom of the map kF_c^p.

    Errors of the data spread over the whole cell; an atom in a wrong place leaves a peak of an atom's height.
    """
    f = structure_factors_of(space.half, atoms)
    size = np.maximum(np.abs(f), 1e-12)
    expected = compressed(space.half_f_obs, size, space.measured)
    rest = np.where(space.measured, (space.half_f_obs - expected) / size, 0.0) * f
    model = density(space.grid, np.where(space.measured, expected / size, 0.0) * f)
    at = (np.linalg.solve(space.basis, atoms.fract.T) % 1.0) * np.array(model.shape)[:, None]
    lowest = float(map_coordinates(model, at, order=1, mode="grid-wrap").min())
    return float(density(space.grid, rest).max()) / max(lowest, 1e-3 * float(model.max()))


def compressed(f_obs: Floats, f_calc: Floats, measured: NDArray[np.bool_]) -> Floats:
    """k |F_c|^p with the p of least squares, 0.4 to 1: strong reflections that multiple scattering has compressed."""
    o, c = f_obs[measured], f_calc[measured]
    best, result = np.inf, f_calc
    for p in POWERS:
        size = c**p
        scale = float(o @ size) / max(float(size @ size), 1e-30)
        error = float(np.sum((o - scale * size) ** 2))
        if error < best:
            best, result = error, scale * f_calc**p
    return np.asarray(result)
