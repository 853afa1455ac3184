"""A model in a space group, its amplitudes with derivatives, and a short least squares on |F|.

The amplitudes are k |F|^p. Multiple scattering compresses the strong reflections: two-beam intensities of a perfect
crystal go as |F|² when it is thin and as |F| when it is thick (Blackman, Proc. R. Soc. Lond. A 173 (1939) 68), so p
lies between 1/2 and 1; it is a parameter of the model and the data stay as measured. Gauss–Newton with Levenberg's
damping; free coordinates are the null space of (site-symmetry average − 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.solution.structure_factor_kernel import amplitudes_and_slopes, site_sums
from twin.model.crystal import Cell
from twin.physics.lattice import Floats, Ints, reciprocal_matrix
from twin.physics.structure_factors import electron_factor
from twin.physics.symmetry import operations, primitive_operations

Complexes = NDArray[np.complex128]
U_RANGE_ANGSTROM2 = (-0.004, 0.06)
POWER_RANGE = (0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Atoms:
    """Sites of a model: fract (m, 3), multiplicity (m,), kind (m,) class number; occupancy (m, elements).

    u_iso_angstrom2 (kinds,). power: p of the amplitudes k |F|^p.
    """

    fract: Floats
    multiplicity: Ints
    kind: Ints
    elements: tuple[str, ...]
    occupancy: Floats
    u_iso_angstrom2: Floats
    power: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """Refined atoms, R = Σ|F_o − y|/ΣF_o, and y = k |F|^p (n,)."""

    atoms: Atoms
    r: float
    calculated: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Design:
    """Reflections and symmetry tables shared by all evaluations: turned (n, p, 3) = 2π hR, phase (n, p) = 2π h·t.

    centric: the tables hold one operation of each pair related by the centre at the origin. factors (elements, n).
    """

    hall: str
    hkl: Ints
    g_squared: Floats
    turned: Floats
    phase: Floats
    centric: bool
    factors: Floats
    order: int


def design(*, hall: str, cell: Cell, hkl: Ints, elements: tuple[str, ...]) -> Design:
    """Tables for reflections (n, 3) that the lattice type allows."""
    ops = primitive_operations(hall)
    g_squared = np.sum((hkl @ reciprocal_matrix(cell).T) ** 2, axis=1)
    chosen, centric = _without_inversion(ops.rotations, ops.translations)
    return Design(
        hall=hall, hkl=hkl, g_squared=g_squared, centric=centric, order=len(ops),
        turned=np.ascontiguousarray(2.0 * np.pi * np.einsum("ni,pij->npj", hkl, ops.rotations[chosen])),
        phase=np.ascontiguousarray(2.0 * np.pi * hkl @ ops.translations[chosen].T),
        factors=np.stack([electron_factor(e, g_squared / 4.0) for e in elements]),
    )  # fmt: skip


def _without_inversion(rotations: Ints, translations: Floats) -> tuple[Ints, bool]:
    """Rows of one operation of each pair ±, where the centre lies at the origin; else all rows."""
    inverse = np.all(rotations == -np.eye(3, dtype=np.int64), axis=(1, 2))
    shift = translations[inverse]
    everything = np.arange(len(rotations), dtype=np.int64)
    if len(shift) == 0 or not np.allclose(shift, np.round(shift), atol=1e-6):
        return everything, False
    seen: set[bytes] = set()
    kept = []
    for i in everything:
        if (-rotations[i]).tobytes() not in seen:
            seen.add(rotations[i].tobytes())
            kept.append(i)
    return np.array(kept, dtype=np.int64), True


def _strength(tables: Design, atoms: Atoms) -> Floats:
    damp = np.exp(-2.0 * np.pi**2 * atoms.u_iso_angstrom2[atoms.kind][:, None] * tables.g_squared)
    return np.asarray((atoms.occupancy @ tables.factors) * damp * (atoms.multiplicity / tables.order)[:, None])


def site_factors(tables: Design, atoms: Atoms) -> Complexes:
    """Contribution of each site (m, n)."""
    return site_sums(tables.turned, tables.phase, tables.centric, _strength(tables, atoms),
                     np.ascontiguousarray(atoms.fract))  # fmt: skip


def structure_factors_of(tables: Design, atoms: Atoms) -> Complexes:
    """F (n,)."""
    return np.asarray(site_factors(tables, atoms).sum(axis=0))


def free_directions(fract: Floats, hall: str, direct: Floats) -> Floats:
    """Columns: fractional directions along which a site may move; (3, k), k from 0 to 3."""
    ops = operations(hall)
    shift = ops.rotations @ fract + ops.translations - fract
    length = np.linalg.norm((shift - np.round(shift)) @ direct.T, axis=1)
    mean = ops.rotations[length < 0.05].mean(axis=0)
    u, s, _ = np.linalg.svd(mean)
    return np.asarray(u[:, s > 0.5])


def scaled(f_obs: Floats, size: Floats, power: float, weight: Floats | None = None) -> Floats:
    """y = k size^power with the k of the (weighted) least squares."""
    y = size**power
    w = y if weight is None else weight * y
    return np.asarray(y * float(f_obs @ w) / max(float(y @ w), 1e-30))


def r_factor(f_obs: Floats, calculated: Floats) -> float:
    """R = Σ|F_o − y| / ΣF_o."""
    return float(np.abs(f_obs - calculated).sum() / max(float(f_obs.sum()), 1e-30))


def refine(
    tables: Design, atoms: Atoms, *, f_obs: Floats, direct: Floats, cycles: int = 12, weights: Floats | None = None
) -> Fit:
    """Short refinement of free coordinates, one U a class, the power p and the scale."""
    basis = [free_directions(x, tables.hall, direct) for x in atoms.fract]
    directions = np.ascontiguousarray(np.concatenate(basis, axis=1)) if basis else np.zeros((3, 0))
    owner = np.repeat(np.arange(len(basis)), [b.shape[1] for b in basis]).astype(np.int64)
    weight = np.ones(len(f_obs)) if weights is None else weights

    def evaluate(a: Atoms) -> tuple[Floats, Floats, Floats, float]:
        size, slope = amplitudes_and_slopes(
            tables.turned, tables.phase, tables.centric, _strength(tables, a), tables.g_squared,
            np.ascontiguousarray(a.fract), directions, owner, a.kind, len(a.u_iso_angstrom2),
        )  # fmt: skip
        y = scaled(f_obs, size, a.power, weight)
        return size, slope, y, float(weight @ (f_obs - y) ** 2)

    damping = 1e-3
    size, slope, y, error = evaluate(atoms)
    for _ in range(cycles):
        jacobian = _jacobian(size, slope, y, atoms.power)
        normal = (jacobian * weight[:, None]).T @ jacobian
        right = jacobian.T @ (weight * (f_obs - y))
        diagonal = np.diag(normal)
        damped = normal + np.diag(damping * diagonal + 1e-12 * diagonal.sum())
        step = np.asarray(np.linalg.solve(damped, right), dtype=np.float64)
        trial = _moved(atoms, directions, owner, step, direct)
        found = evaluate(trial)
        if found[3] < error:
            done = error - found[3] < 1e-5 * error
            atoms, (size, slope, y, error) = trial, found
            damping = max(damping * 0.2, 1e-6)
            if done:
                break
        else:
            damping *= 10.0
            if damping > 1e4:
                break
    return Fit(atoms=atoms, r=r_factor(f_obs, y), calculated=y)


def _jacobian(size: Floats, slope: Floats, y: Floats, power: float) -> Floats:
    """∂y by coordinates and U (columns of ``slope``), p and the logarithm of the scale; (n, k + 2)."""
    typical = max(float(np.sqrt(np.mean(size**2))), 1e-30)
    floor = np.maximum(size, 0.01 * typical)
    return np.column_stack([slope * (power * y / floor)[:, None], y * np.log(floor / typical), y])


def _moved(atoms: Atoms, directions: Floats, owner: Ints, step: Floats, direct: Floats) -> Atoms:
    """Atoms after a step; no site moves by more than 0.15 Å, no U by more than 0.01 Å², p by more than 0.1."""
    free, kinds = len(owner), len(atoms.u_iso_angstrom2)
    move = np.zeros_like(atoms.fract)
    np.add.at(move, owner, (directions * step[:free]).T)
    length = np.linalg.norm(move @ direct.T, axis=1)
    u = atoms.u_iso_angstrom2 + np.clip(step[free : free + kinds], -0.01, 0.01)
    power = atoms.power + float(np.clip(step[free + kinds], -0.1, 0.1))
    return replace(atoms, fract=atoms.fract + move * np.minimum(1.0, 0.15 / np.maximum(length, 1e-12))[:, None],
                   u_iso_angstrom2=np.clip(u, *U_RANGE_ANGSTROM2),
                   power=float(np.clip(power, *POWER_RANGE)))  # fmt: skip
