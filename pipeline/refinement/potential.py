"""U_g and its derivatives by the structure parameters, tabulated for all differences of beams, through symmetry.

Only one reflection of each class of equivalents is summed over atoms; the others follow from
F(h R) = F(h) exp(−2πi h·t) and F(−h) = conj F(h), and so do the derivatives, since parameters keep the symmetry.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.refinement.model_factors import structure_factors_with_derivatives
from pipeline.refinement.parameters import Complexes, Parametrisation
from twin.physics.beams import coupled_hkl
from twin.physics.electrons import relativistic_gamma
from twin.physics.lattice import Floats, Ints, cell_volume_angstrom3, miller_indices, reciprocal_matrix
from twin.physics.symmetry import asymmetric_hkl, primitive_operations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TablePlan:
    """How a dense table is filled. unique: (u, 3) hkl that are computed; shape: (2H + 1, 2K + 1, 2L + 1).

    member: (cells,) index into ``unique`` (or u for "nothing here"); phase: (cells,) factor of F; conjugate: (cells,).
    """

    unique: Ints
    shape: tuple[int, int, int]
    member: Ints
    phase: Complexes
    conjugate: NDArray[np.bool_]
    factor: float
    real: bool


def plan_table(*, parametrisation: Parametrisation, energy_kev: float, g_max_per_angstrom: float) -> TablePlan:
    """Plan for differences between beams up to ``g_max_per_angstrom``."""
    crystal = parametrisation.crystal
    b = reciprocal_matrix(crystal.cell)
    hkl = miller_indices(reciprocal=b, g_max_per_angstrom=2.0 * g_max_per_angstrom * (1 + 1e-9))
    hkl = coupled_hkl(hkl, crystal.hall)
    ops = primitive_operations(crystal.hall)
    unique = np.unique(asymmetric_hkl(hkl, crystal.hall, friedel=True), axis=0)
    limits = np.abs(unique @ ops.rotations).max(axis=(0, 1))
    shape = tuple(int(2 * n + 1) for n in limits)
    cells = int(np.prod(shape))
    member = np.full(cells, len(unique), dtype=np.int64)
    phase = np.ones(cells, dtype=np.complex128)
    conjugate = np.zeros(cells, dtype=bool)
    for rotation, translation in zip(ops.rotations[::-1], ops.translations[::-1], strict=True):
        turned = unique @ rotation
        shift = np.exp(-2j * math.pi * (unique @ translation))
        for sign in (-1, 1):
            cell = np.ravel_multi_index(tuple((sign * turned + limits).T), shape)
            member[cell] = np.arange(len(unique))
            phase[cell] = shift
            conjugate[cell] = sign < 0
    inversion = np.all(ops.rotations == -np.eye(3, dtype=np.int64), axis=(1, 2))
    real = bool(np.any(inversion & np.all(np.abs(ops.translations) < 1e-9, axis=1)))
    factor = relativistic_gamma(energy_kev=energy_kev) / (math.pi * cell_volume_angstrom3(crystal.cell))
    return TablePlan(
        unique=unique,
        shape=(shape[0], shape[1], shape[2]),
        member=member,
        phase=phase,
        conjugate=conjugate,
        factor=factor,
        real=real,
    )


def fill_table(
    plan: TablePlan, *, parametrisation: Parametrisation, values: Floats, derivatives: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """(U (cells,), ∂U/∂p (P, cells)) in Å⁻²; real arrays for a crystal with a centre of symmetry at the origin."""
    f, jacobian = structure_factors_with_derivatives(
        parametrisation, values=values, hkl=plan.unique, derivatives=derivatives
    )
    return _spread(plan, f[None])[0], _spread(plan, jacobian)


def _spread(plan: TablePlan, f: Complexes) -> NDArray[Any]:
    padded = np.concatenate([f, np.zeros((len(f), 1))], axis=1)[:, plan.member] * plan.phase
    if plan.real:
        return np.asarray(plan.factor * padded.real)
    return np.asarray(plan.factor * np.where(plan.conjugate, padded, np.conj(padded)))  # U_g ∝ conj F_g


def matrix_index(plan: TablePlan, hkl: Ints) -> Ints:
    """(N, N) index into the table of U_{g−h} for beams hkl (N, 3)."""
    limits = (np.array(plan.shape) - 1) // 2
    difference = hkl[:, None, :] - hkl[None, :, :]
    if np.any(np.abs(difference) > limits):
        raise ValueError("beams reach beyond the table of the potential: |g| of a beam exceeds g_max")
    stride = np.array([plan.shape[1] * plan.shape[2], plan.shape[2], 1])
    return np.asarray((difference + limits) @ stride)
