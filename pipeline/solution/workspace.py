"""What a search for atoms in one setting needs, the models it finds, and the maps in between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.solution.composition import Scatterers
from pipeline.solution.flipping import Complexes, Grid
from pipeline.solution.likelihood import Explanation
from pipeline.solution.model import Atoms, Design, scaled, site_factors, structure_factors_of
from twin.physics.lattice import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workspace:
    """Everything that a search for atoms in one setting needs.

    half: tables for the half-sphere of the density; unique: tables for one reflection of each Laue class, with f_obs.
    half_f_obs (n,), f_obs: amplitudes as measured. grid: for difference maps; basis: primitive vectors in conventional
    coordinates. states: oxidation states of an oxide's elements, empty where they are not certain.
    """

    hall: str
    direct: Floats
    basis: Floats
    grid: Grid
    half: Design
    unique: Design
    f_obs: Floats
    half_f_obs: Floats
    measured: NDArray[np.bool_]
    kinds: tuple[Scatterers, ...]
    elements: tuple[str, ...]
    molecular: bool
    states: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A complete model: atoms, R on |F| after a short refinement, the unexplained part of the phased map.

    alternatives: other ways to give the positions their elements that nothing excludes, in words; told_by_bonds: those
    that bond lengths exclude and the data do not.
    """

    atoms: Atoms
    r: float
    residual: float
    formula_units: int
    explanation: Explanation
    alternatives: tuple[str, ...] = ()
    told_by_bonds: tuple[str, ...] = ()

    @property
    def figure(self) -> float:
        """Lower is better. R alone does not know an origin that the map does not have, nor a homometric model."""
        return self.r + 0.5 * self.residual


def difference(space: Workspace, phased: Complexes, atoms: Atoms | None) -> Complexes:
    """Map coefficients F_obs e^{iφ} − k F_model with the scale k of the least squares."""
    if atoms is None:
        return phased
    model = structure_factors_of(space.half, atoms)
    use = space.measured
    overlap = float(np.real(np.vdot(model[use], phased[use]))) / max(float(np.vdot(model[use], model[use]).real), 1e-30)
    return np.asarray(np.where(use, phased - max(overlap, 0.0) * model, 0.0))


def unexplained(space: Workspace, phased: Complexes, atoms: Atoms) -> float:
    """Σ|F_o e^{iφ} − k F_c|² / Σ|F_o|² over measured reflections of the map that gave the atoms."""
    left = difference(space, phased, atoms)[space.measured]
    total = float(np.vdot(phased[space.measured], phased[space.measured]).real)
    return float(np.vdot(left, left).real) / max(total, 1e-30)


def kinematical_amplitudes(space: Workspace, power: float) -> Floats:
    """The measured amplitudes with the compression of a model undone: F_o^{1/p}, at the mean of F_o."""
    level = max(float(space.half_f_obs[space.measured].mean()), 1e-30)
    return np.asarray(level * (space.half_f_obs / level) ** (1.0 / power))


def phased_by(space: Workspace, atoms: Atoms) -> Complexes:
    """F_o (compression undone) with the phases of a model."""
    f = structure_factors_of(space.half, atoms)
    amplitude = kinematical_amplitudes(space, atoms.power)
    return np.asarray(np.where(space.measured, amplitude * f / np.maximum(np.abs(f), 1e-12), 0.0))


def model_map(space: Workspace, atoms: Atoms, *, strong_only: bool) -> Complexes:
    """Map coefficients (2F_o − kF_c) with the model's phases, or F_o with the phases of its strongest class."""
    amplitude = kinematical_amplitudes(space, atoms.power)
    if strong_only:
        calculated = site_factors(space.half, atoms)[atoms.kind == 0].sum(axis=0)
    else:
        calculated = structure_factors_of(space.half, atoms)
        use = space.measured
        expected = np.zeros(len(use))
        expected[use] = scaled(amplitude[use], np.abs(calculated)[use], 1.0)
        amplitude = np.maximum(2.0 * amplitude - expected, 0.0)
    size = np.abs(calculated)
    return np.asarray(np.where(space.measured, amplitude * calculated / np.maximum(size, 1e-12), 0.0))


def unique_rows(number: Ints, measured: NDArray[np.bool_]) -> Ints:
    """Index of one measured reflection of each class of equivalents."""
    rows = np.flatnonzero(measured)
    _, first = np.unique(number[rows], return_index=True)
    return np.asarray(rows[first], dtype=np.int64)
