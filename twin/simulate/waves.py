"""Amplitudes of all beams of an exposure at the thickness nodes, by many-beam or by single scattering."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.model.crystal import Crystal
from twin.physics.beams import coupled_hkl, select_beams
from twin.physics.bloch import bloch_amplitudes
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import excitation_errors
from twin.physics.kinematical import kinematical_amplitudes
from twin.physics.lattice import Floats, Ints, miller_indices, reciprocal_matrix
from twin.physics.potential import PotentialTable, potential_table
from twin.simulate.engine import Engine, Sampling


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Waves:
    """hkl (N, 3), direct beam first; g_lab (N, 3) Å⁻¹ at mid-exposure; excitation_error (N, S) Å⁻¹;
    amplitudes (J, N, S); potential U_g (N,) Å⁻²."""

    hkl: Ints
    g_lab: Floats
    excitation_error: Floats
    amplitudes: NDArray[Any]
    potential: NDArray[Any]


@lru_cache(maxsize=4)
def crystal_table(crystal: Crystal, energy_kev: float, g_max_per_angstrom: float, absorption: bool) -> PotentialTable:
    """The potential of a crystal, kept between the frames of a series."""
    return potential_table(
        crystal=crystal, energy_kev=energy_kev, g_max_per_angstrom=g_max_per_angstrom, absorption=absorption
    )


def exposure_waves(
    *, crystal: Crystal, energy_kev: float, orientation: Floats, sampling: Sampling, engine: Engine, nodes: Floats
) -> Waves:
    """Waves of an exposure. orientation (3, 3): R · U at mid-exposure. nodes (J,): thickness in Å."""
    lab = orientation @ reciprocal_matrix(crystal.cell)
    absorb = engine.absorption and engine.kind == "bloch"
    table = crystal_table(crystal, energy_kev, engine.g_max_per_angstrom, absorb)
    if engine.kind == "kinematical":
        return _single_scattering(crystal, lab, sampling, engine, nodes, table)
    result = bloch_amplitudes(
        crystal=crystal,
        reciprocal_lab=lab,
        directions=sampling.directions,
        energy_kev=energy_kev,
        thickness_angstrom=nodes,
        g_max_per_angstrom=engine.g_max_per_angstrom,
        s_max_per_angstrom=engine.s_max_per_angstrom,
        table=table,
        dtype=np.dtype(engine.dtype),
    )
    return Waves(
        hkl=result.hkl,
        g_lab=result.g_lab,
        excitation_error=result.excitation_error,
        amplitudes=result.amplitudes,
        potential=_look_up(table, result.hkl),
    )


def _single_scattering(
    crystal: Crystal, lab: Floats, sampling: Sampling, engine: Engine, nodes: Floats, table: PotentialTable
) -> Waves:
    k = wavenumber_per_angstrom(energy_kev=table.energy_kev)
    candidates = coupled_hkl(miller_indices(reciprocal=lab, g_max_per_angstrom=engine.g_max_per_angstrom), crystal.hall)
    rows = select_beams(
        reciprocal_lab=lab,
        hkl=candidates,
        directions=sampling.directions,
        wavenumber_per_angstrom=k,
        g_max_per_angstrom=engine.g_max_per_angstrom,
        s_max_per_angstrom=engine.s_max_per_angstrom,
    )
    hkl = candidates[rows]
    g_lab = hkl @ lab.T
    s = excitation_errors(g_lab=g_lab, directions=sampling.directions, wavenumber_per_angstrom=k)
    potential = _look_up(table, hkl)
    amplitudes = kinematical_amplitudes(
        potential=potential, excitation_error=s, wavenumber_per_angstrom=k, thickness_angstrom=nodes
    )
    return Waves(hkl=hkl, g_lab=g_lab, excitation_error=s, amplitudes=amplitudes, potential=potential)


def _look_up(table: PotentialTable, hkl: Ints) -> NDArray[Any]:
    return np.asarray(table.values[tuple((hkl + np.array(table.limits)).T)])
