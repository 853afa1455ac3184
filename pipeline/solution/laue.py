"""The Laue class that the data came in, those above it that lattice and intensities allow, and those below it.

Noise can make a reduction choose a class that is too low; pseudo-symmetry and multiple scattering one that is too
high. Merging anew needs one intensity for each hkl.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from pipeline.solution.groups import PhaseMap, primitive_basis, rank_groups
from pipeline.solution.options import DEFAULT, FlipOptions
from pipeline.solution.solve import solve_structure
from pipeline.solution.spots import CENTRINGS, centring_allows
from pipeline.types import MergedReflections, Solution
from twin.model.crystal import Cell, Crystal
from twin.physics.lattice import Floats, direct_matrix, miller_indices, reciprocal_matrix
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import asymmetric_hkl, centring_vectors, laue_hall, point_rotations

METRIC_TOLERANCE = 0.02  # relative, of the metric tensor's elements under a rotation
R_INT_SLACK, R_INT_FLOOR_PERCENT = 1.35, 4.0  # R_int of a higher class: at most this many times the own, plus
RELATIVE_ERROR = 0.1  # of an intensity, beside its sigma, in the weights of the mean
FALLBACK_STARTS = 4
OBEYED = 0.9  # mean cos Δφ of the worst operation with the phases of a model that obeys a group
OBEYED_TO_PER_ANGSTROM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LaueData:
    """Intensities merged in one class, and the cell with the metric of that class."""

    merged: MergedReflections
    cell: Cell


@lru_cache(maxsize=1)
def laue_classes() -> tuple[str, ...]:
    """Hall symbols of all Laue classes in all axes of the tables, highest order first."""
    halls = {str(g.hall) for g in gemmi.spacegroup_table() if g.is_centrosymmetric() and g.centring_type() == "P"}
    found = {laue_hall(hall) for hall in halls}
    return tuple(sorted(found, key=lambda h: (-len(point_rotations(h, friedel=True)), h)))


def _rotations(hall: str) -> set[bytes]:
    return {r.tobytes() for r in np.ascontiguousarray(point_rotations(hall, friedel=True))}


def metric(cell: Cell) -> Floats:
    """G = AᵀA with the cell's vectors as columns of A, Å²; (3, 3)."""
    direct = direct_matrix(cell)
    return np.asarray(direct.T @ direct)


def allowed_by_lattice(cell: Cell, hall: str, tolerance: float = METRIC_TOLERANCE) -> bool:
    """Whether every rotation of the class leaves the metric as it is, within the tolerance."""
    own = metric(cell)
    scale = np.sqrt(np.outer(np.diag(own), np.diag(own)))
    turned = [r.T @ own @ r for r in point_rotations(hall, friedel=True)]
    return all(float(np.abs((g - own) / scale).max()) < tolerance for g in turned)


def conforming_cell(cell: Cell, hall: str) -> Cell:
    """Cell with the metric that the class asks for: the average of the metric tensor over its rotations."""
    own = metric(cell)
    mean = np.mean([r.T @ own @ r for r in point_rotations(hall, friedel=True)], axis=0)
    length = np.sqrt(np.diag(mean))
    cosine = np.round((mean / np.outer(length, length))[[1, 0, 0], [2, 2, 1]], 12)  # 90° and 120° to the last digit
    a, b, c = length.tolist()
    alpha, beta, gamma = np.degrees(np.arccos(cosine)).tolist()
    return Cell(a_angstrom=a, b_angstrom=b, c_angstrom=c, alpha_deg=alpha, beta_deg=beta, gamma_deg=gamma)


def merged_in(observations: MergedReflections, hall: str) -> MergedReflections:
    """Intensities of single hkl averaged over the class with the weights 1 / (σ² + (0.1 I)²).

    R_int = Σ|I − <I>| / ΣI over reflections with equivalents, percent.
    """
    representative = asymmetric_hkl(observations.hkl, hall)
    hkl, group, count = np.unique(representative, axis=0, return_inverse=True, return_counts=True)
    group = np.asarray(group).reshape(-1)
    intensity, variance = observations.intensity, observations.sigma**2
    mean = np.asarray(np.bincount(group, weights=intensity) / count, dtype=np.float64)
    total = np.ones(len(hkl))
    for _ in range(2):
        weight = 1.0 / np.maximum(variance + (RELATIVE_ERROR * np.maximum(mean[group], 0.0)) ** 2, 1e-30)
        total = np.asarray(np.bincount(group, weights=weight), dtype=np.float64)
        mean = np.asarray(np.bincount(group, weights=weight * intensity), dtype=np.float64) / total
    several: NDArray[np.bool_] = count[group] > 1
    plain = (np.bincount(group, weights=intensity) / count)[group]
    above = float(np.abs(intensity - plain)[several].sum())
    below = max(float(np.abs(intensity[several]).sum()), 1e-30)
    return replace(
        observations, hkl=hkl, intensity=mean, sigma=1.0 / np.sqrt(total), hall=hall,
        multiplicity=count.astype(np.int64), r_int_percent=100.0 * above / below,
        redundancy=float(len(intensity) / max(len(hkl), 1)),
    )  # fmt: skip


def classes_above(observations: MergedReflections, *, hall: str, cell: Cell) -> list[str]:
    """Classes above ``hall`` that the lattice allows and whose equivalents agree about as well, highest order first."""
    own = _rotations(hall)
    limit = R_INT_SLACK * merged_in(observations, hall).r_int_percent + R_INT_FLOOR_PERCENT
    return [
        h
        for h in laue_classes()
        if _rotations(h) > own and allowed_by_lattice(cell, h) and merged_in(observations, h).r_int_percent <= limit
    ]


def classes_below(hall: str) -> list[str]:
    """Classes whose rotations are some of those of ``hall``, highest order first."""
    own = _rotations(hall)
    return [h for h in laue_classes() if _rotations(h) < own]


def solve_in_any_class(
    *, merged: MergedReflections, observations: MergedReflections | None, cell: Cell, composition: str, seed: int,
    starts: int = 8, options: FlipOptions = DEFAULT, progress: Callable[[int, int], None] | None = None,
) -> tuple[Solution, LaueData]:  # fmt: skip
    """The solution in the first class that gives one: those above, the class that the data came in, those below.

    observations: one intensity for each hkl (Friedel mates apart or not); None: no other class is tried. Returned with
    the data of the class that gave the solution (those given when none did).
    """
    given = LaueData(merged=merged, cell=cell)
    queue = [(given, starts)]
    if observations is not None:
        few = min(starts, FALLBACK_STARTS)
        above = classes_above(observations, hall=merged.hall, cell=cell)
        queue = [(_in_class(observations, cell, h), few) for h in above]
        queue += [(given, starts), *((_in_class(observations, cell, h), few) for h in classes_below(merged.hall))]
    own: Solution | None = None
    tried = []
    for data, count in queue:
        found = solve_structure(merged=data.merged, cell=data.cell, composition=composition, seed=seed, starts=count,
                                options=options, progress=progress)  # fmt: skip
        if found.solved:
            rivals = [] if data is given or observations is None else _rivals(observations, data, queue)
            found = _with_note(found, given=merged.hall, used=data.merged.hall, rivals=rivals)
            if observations is None:
                return found, data
            return _in_class_obeyed(found, data, observations, tried=[d.merged.hall for d, _ in queue],
                                    composition=composition, seed=seed, options=options)  # fmt: skip
        if data is given:
            own = found
        else:
            tried.append(class_name(data.merged.hall))
    assert own is not None
    note = f"; nor in the Laue classes {', '.join(tried)}" if tried else ""
    return replace(own, verdict=own.verdict + note), given


def classes_obeyed(crystal: Crystal) -> list[str]:
    """Laue classes above the crystal's own that its lattice allows and a group of which its structure factors obey.

    Highest order first. Atoms that lie within the errors where a group of a higher class would have them are no chance.
    """
    own = _rotations(laue_hall(crystal.hall))
    centring = centring_of(crystal.hall)
    if not centring:
        return []
    reciprocal = reciprocal_matrix(crystal.cell)
    hkl = miller_indices(reciprocal=reciprocal, g_max_per_angstrom=OBEYED_TO_PER_ANGSTROM)[1:]
    hkl = hkl[centring_allows(hkl, centring)]
    f = structure_factors(crystal=crystal, hkl=hkl)
    primitive = np.rint(hkl @ primitive_basis(centring)).astype(np.int64)
    phases = PhaseMap(hkl=primitive, f=f, g=np.linalg.norm(hkl @ reciprocal.T, axis=1))
    above = [h for h in laue_classes() if _rotations(h) > own and allowed_by_lattice(crystal.cell, h)]
    return [h for h in above
            if any(c.agreement >= OBEYED for c in
                   rank_groups(phases=phases, laue=h, centring=centring, agreement_limit=OBEYED))]  # fmt: skip


def centring_of(hall: str) -> str:
    """Lattice letter of a group's centring vectors; empty when it is none that is known."""
    found = {tuple(np.round(v, 4)) for v in centring_vectors(hall)}
    return next((c for c, vectors in CENTRINGS.items()
                 if found == {tuple(np.round(v, 4)) for v in ((0.0, 0.0, 0.0), *vectors)}), "")  # fmt: skip


def _in_class_obeyed(
    found: Solution, data: LaueData, observations: MergedReflections, *, tried: Sequence[str], composition: str,
    seed: int, options: FlipOptions,
) -> tuple[Solution, LaueData]:  # fmt: skip
    """The solution in a class that the model obeys although equivalents do not agree well, if there is one.

    Multiple scattering parts equivalents of a class, never the atoms: a model in a group below, with more parameters,
    would pass for solved. Which of the two it is stays open, for equivalents speak for one and atoms for the other; the
    one that fits its data better (R) is returned.
    """
    assert found.crystal is not None
    for hall in classes_obeyed(found.crystal):
        if hall in tried:
            continue
        above = _in_class(observations, data.cell, hall)
        other = solve_structure(merged=above.merged, cell=above.cell, composition=composition, seed=seed,
                                starts=FALLBACK_STARTS, options=options)  # fmt: skip
        if not other.solved:
            continue
        names = f"{found.space_group} in {class_name(data.merged.hall)} (R_int {data.merged.r_int_percent:.1f} %) or "
        names += f"{other.space_group} in {class_name(hall)} ({above.merged.r_int_percent:.1f} %), which its atoms obey"
        chosen, used = (other, above) if _r(other) <= _r(found) else (found, data)
        verdict = chosen.verdict.replace("solved in ", "ambiguous: ", 1)
        return replace(chosen, verdict=f"{verdict}; {names}"), used
    return found, data


def _r(solution: Solution) -> float:
    return dict(solution.evidence)["R"]


def in_class_of_group(
    *, hall: str, merged: MergedReflections, observations: Callable[[], MergedReflections]
) -> MergedReflections:
    """Intensities merged in the Laue class of the group ``hall``: those given where that is their class."""
    own = laue_hall(hall)
    return merged if _rotations(own) == _rotations(merged.hall) else merged_in(observations(), own)


def _in_class(observations: MergedReflections, cell: Cell, hall: str) -> LaueData:
    return LaueData(merged=merged_in(observations, hall), cell=conforming_cell(cell, hall))


def _rivals(observations: MergedReflections, chosen: LaueData, tried: Sequence[tuple[LaueData, int]]) -> list[str]:
    """Names of the classes above the chosen one that gave nothing although their equivalents agree about as well."""
    above = set(classes_above(observations, hall=chosen.merged.hall, cell=chosen.cell))
    return [class_name(data.merged.hall) for data, _ in tried if data.merged.hall in above]


def _with_note(solution: Solution, *, given: str, used: str, rivals: Sequence[str]) -> Solution:
    if given == used:
        return solution
    note = f"; the data came in the Laue class {class_name(given)}, this is one of {class_name(used)}"
    verdict = solution.verdict
    if rivals:
        verdict = verdict.replace("solved in ", "ambiguous: ", 1) if verdict.startswith("solved in ") else verdict
        note += f"; equivalents agree in {', '.join(rivals)} too, where nothing was found"
    return replace(solution, verdict=verdict + note)


def class_name(hall: str) -> str:
    """Hermann–Mauguin symbol of a Laue class's Hall symbol, without the lattice letter."""
    group: Any = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall))
    return hall if group is None else str(group.hm)[1:].strip()
