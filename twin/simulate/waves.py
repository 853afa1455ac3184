"""Waves of an exposure: strong ones by many-beam propagation, far ones by single scattering.

Beams with |s_g| ≤ s_max are coupled. The intensity beyond it falls only as 1/s² (a share of 1/(π² s_max t) of the
relrod is left out there, 8 % for 67 Å and 0.02 Å⁻¹), so it is added from single scattering up to ``s_tail``, where
the share is 1 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.model.crystal import Crystal
from twin.physics.beams import coupled_hkl, select_beams
from twin.physics.bloch import bloch_amplitudes
from twin.physics.column import ThicknessBasis, integrated_intensity, mean_rocking_curve
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import excitation_errors
from twin.physics.kinematical import kinematical_amplitudes
from twin.physics.lattice import Floats, Ints, miller_indices, reciprocal_matrix
from twin.physics.potential import PotentialTable, potential_table
from twin.simulate.engine import Engine, Sampling

_TAIL_THICKNESSES = 10.0
_LARGEST_TAIL_PER_ANGSTROM = 0.15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Waves:
    """Reflections (N), the direct beam first, at the steps (S) of an exposure.

    hkl (N, 3); g_lab (N, 3) Å⁻¹ at mid-exposure; excitation_error (N, S) Å⁻¹; intensity (N, S) per electron of the
    beam, tails included; coupled (M,) rows whose amplitudes (J, M, S) were propagated; tail (N,) intensity of the
    tails alone, averaged over the steps.
    """

    hkl: Ints
    g_lab: Floats
    excitation_error: Floats
    intensity: Floats
    coupled: Ints
    amplitudes: NDArray[Any]
    tail: Floats


@lru_cache(maxsize=4)
def crystal_table(crystal: Crystal, energy_kev: float, g_max_per_angstrom: float, absorption: bool) -> PotentialTable:
    """The potential of a crystal, kept between the frames of a series."""
    return potential_table(
        crystal=crystal, energy_kev=energy_kev, g_max_per_angstrom=g_max_per_angstrom, absorption=absorption
    )


def exposure_waves(
    *,
    crystal: Crystal,
    energy_kev: float,
    orientation: Floats,
    sampling: Sampling,
    engine: Engine,
    basis: ThicknessBasis,
) -> Waves:
    """Waves of an exposure. orientation (3, 3): R · U at mid-exposure."""
    k = wavenumber_per_angstrom(energy_kev=energy_kev)
    lab = orientation @ reciprocal_matrix(crystal.cell)
    absorb = engine.absorption and engine.kind == "bloch"
    table = crystal_table(crystal, energy_kev, engine.g_max_per_angstrom, absorb)
    candidates = coupled_hkl(miller_indices(reciprocal=lab, g_max_per_angstrom=engine.g_max_per_angstrom), crystal.hall)
    near = select_beams(
        reciprocal_lab=lab,
        hkl=candidates,
        directions=sampling.directions,
        wavenumber_per_angstrom=k,
        g_max_per_angstrom=engine.g_max_per_angstrom,
        s_max_per_angstrom=max(engine.s_max_per_angstrom, tail_limit(basis)),
    )
    hkl = candidates[near]
    s = excitation_errors(g_lab=hkl @ lab.T, directions=sampling.directions, wavenumber_per_angstrom=k)
    potential = np.asarray(table.values[tuple((hkl + np.array(table.limits)).T)])
    beyond = np.abs(s) > engine.s_max_per_angstrom
    coupled = np.flatnonzero(~beyond.all(axis=1))
    if engine.kind == "bloch":
        amplitudes = bloch_amplitudes(
            crystal=crystal,
            reciprocal_lab=lab,
            directions=sampling.directions,
            energy_kev=energy_kev,
            thickness_angstrom=basis.thickness_angstrom,
            g_max_per_angstrom=engine.g_max_per_angstrom,
            s_max_per_angstrom=engine.s_max_per_angstrom,
            table=table,
            dtype=np.dtype(engine.dtype),
        ).amplitudes
    else:
        amplitudes = kinematical_amplitudes(
            potential=potential[coupled],
            excitation_error=s[coupled],
            wavenumber_per_angstrom=k,
            thickness_angstrom=basis.thickness_angstrom,
        )
        amplitudes[:, beyond[coupled]] = 0.0
    curve = mean_rocking_curve(basis=basis, excitation_error=s)
    intensity = np.where(beyond, (np.pi * np.abs(potential[:, None]) / k) ** 2 * curve, 0.0)
    tail = intensity @ sampling.weight
    intensity[coupled] += integrated_intensity(basis=basis, amplitudes=amplitudes)
    return Waves(
        hkl=hkl,
        g_lab=hkl @ lab.T,
        excitation_error=s,
        intensity=intensity,
        coupled=coupled,
        amplitudes=amplitudes,
        tail=tail,
    )


def tail_limit(basis: ThicknessBasis) -> float:
    """s_tail in Å⁻¹: ten over the mean thickness."""
    mean = float(basis.weight @ basis.thickness_angstrom / basis.weight.sum())
    return min(_LARGEST_TAIL_PER_ANGSTROM, _TAIL_THICKNESSES / max(mean, 1.0))
