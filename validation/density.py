"""A Fourier map from observed amplitudes and the phases of a model: what the data show where the atoms should be."""

from __future__ import annotations

import numpy as np
from scipy.fft import next_fast_len

from pipeline.types import Refinement
from twin.physics.lattice import Floats
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import point_rotations

SPACING_ANGSTROM = 0.18


def observed_density(refinement: Refinement) -> Floats:
    """ρ(x) = Σ |F_o| exp(iφ_c) exp(−2πi h·x) over the list and its symmetry images; (u, v, w), arbitrary scale.

    ``refinement``: one on averaged data, whose indices and model share their axes. Nodes that were not measured count
    as zero.
    """
    crystal = refinement.crystal
    rotations = np.asarray(point_rotations(crystal.hall, friedel=True))
    images = np.einsum("ni,mij->nmj", refinement.hkl, rotations).reshape(-1, 3)
    amplitude = np.repeat(refinement.f_obs, len(rotations))
    hkl, first = np.unique(images, axis=0, return_index=True)
    model = structure_factors(crystal=crystal, hkl=hkl)
    coefficients = amplitude[first] * np.exp(1j * np.angle(model))
    largest = np.abs(hkl).max(axis=0)
    wanted = np.ceil(np.array(crystal.cell.parameters[:3]) / SPACING_ANGSTROM)
    shape = tuple(next_fast_len(int(max(n, 2 * h + 1)), real=False) for n, h in zip(wanted, largest, strict=True))
    grid = np.zeros(shape, dtype=np.complex128)
    grid[tuple((hkl % np.array(shape)).T)] = coefficients
    return np.asarray(np.fft.fftn(grid).real)
