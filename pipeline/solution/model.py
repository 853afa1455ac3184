"""A model in a space group, its structure factors with derivatives, and a short least squares on |F|.

Gauss–Newton with Levenberg's damping; free coordinates are the null space of (site-symmetry average − 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from twin.model.crystal import Cell
from twin.physics.lattice import Floats, Ints, reciprocal_matrix
from twin.physics.structure_factors import electron_factor
from twin.physics.symmetry import centring_vectors, operations, primitive_operations

Complexes = NDArray[np.complex128]
U_RANGE_ANGSTROM2 = (-0.004, 0.06)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Atoms:
    """Sites of a model: fract (m, 3), multiplicity (m,), kind (m,) class number; occupancy (m, elements)."""

    fract: Floats
    multiplicity: Ints
    kind: Ints
    elements: tuple[str, ...]
    occupancy: Floats
    u_iso_angstrom2: Floats  # (kinds,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Design:
    """Reflections and symmetry tables shared by all evaluations: turned (p, n, 3) = hR, phase (p, n) = h·t."""

    hall: str
    hkl: Ints
    g_squared: Floats
    turned: Floats
    phase: Floats
    factors: Floats  # (elements, n)
    copies: int


def design(*, hall: str, cell: Cell, hkl: Ints, elements: tuple[str, ...]) -> Design:
    """Tables for reflections (n, 3) that the lattice type allows."""
    ops = primitive_operations(hall)
    g_squared = np.sum((hkl @ reciprocal_matrix(cell).T) ** 2, axis=1)
    return Design(
        hall=hall, hkl=hkl, g_squared=g_squared,
        turned=np.einsum("ni,pij->pnj", hkl, ops.rotations).astype(np.float64),
        phase=np.asarray(hkl @ ops.translations.T, dtype=np.float64).T,
        factors=np.stack([electron_factor(e, g_squared / 4.0) for e in elements]), copies=len(centring_vectors(hall)),
    )  # fmt: skip


def site_factors(tables: Design, atoms: Atoms) -> tuple[Complexes, Complexes]:
    """Contribution of each site (m, n) and its derivative by fractional coordinates (m, n, 3)."""
    count = len(tables.turned)
    f = atoms.occupancy @ tables.factors
    damp = np.exp(-2.0 * np.pi**2 * atoms.u_iso_angstrom2[atoms.kind][:, None] * tables.g_squared)
    strength = f * damp * (atoms.multiplicity / count)[:, None]
    wave = np.exp(2j * np.pi * (np.einsum("pni,mi->mpn", tables.turned, atoms.fract) + tables.phase))
    derivative = 2j * np.pi * np.einsum("mpn,pni->mni", wave, tables.turned)
    return wave.sum(axis=1) * strength, derivative * strength[:, :, None]


def structure_factors_of(tables: Design, atoms: Atoms) -> Complexes:
    """F (n,)."""
    return np.asarray(site_factors(tables, atoms)[0].sum(axis=0))


def free_directions(fract: Floats, hall: str, direct: Floats) -> Floats:
    """Columns: fractional directions along which a site may move; (3, k), k from 0 to 3."""
    ops = operations(hall)
    shift = ops.rotations @ fract + ops.translations - fract
    length = np.linalg.norm((shift - np.round(shift)) @ direct.T, axis=1)
    mean = ops.rotations[length < 0.05].mean(axis=0)
    u, s, _ = np.linalg.svd(mean)
    return np.asarray(u[:, s > 0.5])


def r_factor(f_obs: Floats, f_calc: Floats) -> tuple[float, float]:
    """(R, scale): R = Σ|F_o − k|F_c|| / ΣF_o with k = Σ F_o|F_c| / Σ|F_c|²."""
    size = np.abs(f_calc)
    scale = float(f_obs @ size) / max(float(size @ size), 1e-30)
    return float(np.abs(f_obs - scale * size).sum() / max(float(f_obs.sum()), 1e-30)), scale


def refine(
    tables: Design, atoms: Atoms, *, f_obs: Floats, direct: Floats, cycles: int = 12, weights: Floats | None = None
) -> tuple[Atoms, float]:
    """Short refinement of free coordinates, one U a class, and the scale; returns (atoms, R)."""
    basis = [free_directions(x, tables.hall, direct) for x in atoms.fract]
    kinds = len(atoms.u_iso_angstrom2)
    weight = np.ones(len(f_obs)) if weights is None else weights
    damping = 1e-3
    parts, gradient = site_factors(tables, atoms)
    error, scale = _misfit(parts, f_obs, weight)
    for _ in range(cycles):
        jacobian = _jacobian(parts, gradient, basis, atoms, tables, scale)
        residual = f_obs - scale * np.abs(parts.sum(axis=0))
        normal = (jacobian * weight[:, None]).T @ jacobian
        right = jacobian.T @ (weight * residual)
        step = np.linalg.solve(normal + np.diag(damping * np.diag(normal) + 1e-12 * np.trace(normal)), right)
        trial = _moved(atoms, basis, step, kinds, direct)
        trial_parts, trial_gradient = site_factors(tables, trial)
        trial_error, trial_scale = _misfit(trial_parts, f_obs, weight)
        if trial_error < error:
            done = error - trial_error < 1e-5 * error
            atoms, parts, gradient, error, scale = trial, trial_parts, trial_gradient, trial_error, trial_scale
            damping = max(damping * 0.2, 1e-6)
            if done:
                break
        else:
            damping *= 10.0
            if damping > 1e4:
                break
    return atoms, r_factor(f_obs, np.abs(parts.sum(axis=0)))[0]


def _misfit(parts: Complexes, f_obs: Floats, weight: Floats) -> tuple[float, float]:
    size = np.abs(parts.sum(axis=0))
    scale = float((weight * f_obs) @ size) / max(float((weight * size) @ size), 1e-30)
    return float(weight @ (f_obs - scale * size) ** 2), scale


def _jacobian(
    parts: Complexes, gradient: Complexes, basis: list[Floats], atoms: Atoms, tables: Design, scale: float
) -> Floats:
    total = parts.sum(axis=0)
    unit = np.conj(total) / np.maximum(np.abs(total), 1e-12)
    columns = [scale * np.real(unit[:, None] * (gradient[i] @ basis[i])) for i in range(len(basis))]
    for kind in range(len(atoms.u_iso_angstrom2)):
        own = parts[atoms.kind == kind].sum(axis=0)
        columns.append((scale * np.real(unit * own) * (-2.0 * np.pi**2 * tables.g_squared))[:, None])
    columns.append(np.abs(total)[:, None])
    return np.concatenate(columns, axis=1)


def _moved(atoms: Atoms, basis: list[Floats], step: Floats, kinds: int, direct: Floats) -> Atoms:
    fract = atoms.fract.copy()
    at = 0
    for i, columns in enumerate(basis):
        k = columns.shape[1]
        move = columns @ step[at : at + k]
        length = float(np.linalg.norm(direct @ move))
        fract[i] += move * min(1.0, 0.15 / max(length, 1e-12))
        at += k
    u = np.clip(atoms.u_iso_angstrom2 + np.clip(step[at : at + kinds], -0.01, 0.01), *U_RANGE_ANGSTROM2)
    return replace(atoms, fract=fract, u_iso_angstrom2=u)
