"""Simulated data for the solution study: kinematical intensities, spoilt in eleven ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from pipeline.types import MergedReflections
from twin.model.crystal import Crystal
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import miller_indices, reciprocal_matrix
from twin.physics.structure_factors import potential_coefficients, structure_factors
from twin.physics.symmetry import asymmetric_hkl, laue_hall, point_rotations, systematically_absent
from twin.physics.two_beam import blackman_integrated, extinction_distance_angstrom

DataOf = Callable[[Crystal, int], MergedReflections]  # of a structure and a seed

CONDITIONS: Mapping[str, Mapping[str, float]] = {
    "clean": {},
    "noise 20 %": {"noise": 0.2},
    "noise 30 %": {"noise": 0.3},
    "I^0.75": {"power": 0.75},
    "I^0.5": {"power": 0.5},
    "forbidden 3 %": {"forbidden": 0.03},
    "cone 41 deg": {"cone_deg": 41.0},
    "0.6 A": {"d_min": 0.6},
    "0.8 A": {"d_min": 0.8},
    "1.0 A": {"d_min": 1.0},
    "all together": {"noise": 0.2, "power": 0.75, "forbidden": 0.03, "cone_deg": 41.0, "d_min": 0.8},
}


def simulated_data(
    structure: Crystal, seed: int, *, d_min: float = 0.72, noise: float = 0.0, power: float = 1.0,
    forbidden: float = 0.0, cone_deg: float = 0.0,
) -> MergedReflections:  # fmt: skip
    """Kinematical intensities merged in the Laue class of the structure, perturbed.

    noise: relative, of each intensity. power: I -> I^power, as multiple scattering compresses the strong ones.
    forbidden: mean intensity of absent reflections over the mean of all. cone_deg: opening of the cone about a random
    axis that no tilt reached. d_min in Å.
    """
    rng = np.random.default_rng([seed, 77])
    laue = laue_hall(structure.hall)
    b = reciprocal_matrix(structure.cell)
    everything = miller_indices(reciprocal=b, g_max_per_angstrom=1.0 / d_min)[1:]
    hkl = np.unique(asymmetric_hkl(everything, laue), axis=0)
    if cone_deg > 0.0:
        axis = rng.standard_normal(3)
        axis /= np.linalg.norm(axis)
        equivalents = np.einsum("ni,kij->nkj", hkl, point_rotations(laue, friedel=True)) @ b.T
        cosine = np.abs(equivalents @ axis) / np.linalg.norm(equivalents, axis=2)
        hkl = hkl[np.any(cosine < np.cos(np.radians(cone_deg)), axis=1)]
    intensity = np.abs(structure_factors(crystal=structure, hkl=hkl)) ** 2
    intensity *= np.mean(intensity) / np.mean(intensity**power) * np.maximum(intensity, 1e-12) ** (power - 1.0)
    intensity = intensity * (1.0 + noise * rng.standard_normal(len(hkl)))
    absent = systematically_absent(hkl, structure.hall)
    intensity[absent] = forbidden * intensity.mean() * rng.exponential(size=int(absent.sum()))
    return MergedReflections(
        hkl=hkl, intensity=intensity, sigma=np.full(len(hkl), 0.02 * intensity.mean()),
        multiplicity=np.full(len(hkl), 4), hall=laue, r_int_percent=12.0, completeness_percent=100.0, redundancy=4.0,
        g_max_per_angstrom=1.0 / d_min,
    )  # fmt: skip


def two_beam_data(
    structure: Crystal, seed: int, *, thickness_nm: float, noise: float = 0.15, forbidden: float = 0.01
) -> MergedReflections:
    """Integrated two-beam intensities at 200 kV (Blackman), with relative noise and absent reflections lit.

    Their compression depends on the reflection: no power of |F| describes it.
    """
    merged = simulated_data(structure, seed)
    absent = systematically_absent(merged.hkl, structure.hall)
    potential = np.abs(potential_coefficients(crystal=structure, hkl=merged.hkl, energy_kev=200.0)) + 1e-9
    k = wavenumber_per_angstrom(energy_kev=200.0)
    xi = extinction_distance_angstrom(potential=potential, wavenumber_per_angstrom=k)
    intensity = blackman_integrated(extinction_angstrom=xi, thickness_angstrom=10.0 * thickness_nm)
    rng = np.random.default_rng([seed, 78])
    intensity = intensity * (1.0 + noise * rng.standard_normal(len(intensity)))
    intensity[absent] = forbidden * intensity.mean() * rng.exponential(size=int(absent.sum()))
    return replace(merged, intensity=intensity, sigma=np.full(len(intensity), 0.02 * intensity.mean()))


def random_data(structure: Crystal, seed: int) -> MergedReflections:
    """Intensities that have nothing to do with the structure (Wilson's acentric distribution)."""
    merged = simulated_data(structure, seed)
    rng = np.random.default_rng([seed, 79])
    return replace(merged, intensity=rng.exponential(size=len(merged.intensity)))


def data_of(condition: str) -> DataOf:
    """The data of one of the eleven conditions."""

    def data(structure: Crystal, seed: int) -> MergedReflections:
        return simulated_data(structure, seed, **CONDITIONS[condition])

    return data


ELEVEN: Mapping[str, DataOf] = {name: data_of(name) for name in CONDITIONS}
THICK: Mapping[str, DataOf] = {
    f"two-beam, {thickness} nm": partial(two_beam_data, thickness_nm=float(thickness)) for thickness in (30, 60)
}
NONSENSE: Mapping[str, DataOf] = {"random intensities": random_data}
