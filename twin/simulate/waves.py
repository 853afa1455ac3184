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
from twin.physics.beams import select_beams
from twin.physics.column import ThicknessBasis
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import excitation_errors
from twin.physics.lattice import Floats, Ints, reciprocal_matrix
from twin.physics.potential import PotentialTable, candidates, potential_table
from twin.simulate.bending import Strips
from twin.simulate.engine import START_S_MAX_PER_ANGSTROM, Engine, Sampling
from twin.simulate.sectors import Frame, integrated, many_beam, single_scattering

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
    strips: Strips | None = None,
) -> Waves:
    """Waves of an exposure. orientation (3, 3): R · U at mid-exposure; strips: of a bent particle."""
    lab = orientation @ reciprocal_matrix(crystal.cell)
    frame, g_lab = _frame(crystal, energy_kev, lab, sampling, engine, basis, strips)
    solved = many_beam(frame) if engine.kind == "bloch" else single_scattering(frame)
    shown = np.abs(frame.excitation_error).min(axis=1) <= frame.tail_per_angstrom
    place = np.cumsum(shown) - 1
    intensity = solved.tail[shown]
    tail = intensity @ sampling.weight
    coupled = place[solved.near]
    intensity[coupled] += integrated(frame, solved.amplitudes, slice(None))
    return Waves(
        hkl=frame.hkl[shown],
        g_lab=g_lab[shown],
        excitation_error=frame.excitation_error[shown],
        intensity=intensity,
        coupled=coupled,
        amplitudes=solved.amplitudes,
        tail=tail,
    )


def _frame(
    crystal: Crystal,
    energy_kev: float,
    lab: Floats,
    sampling: Sampling,
    engine: Engine,
    basis: ThicknessBasis,
    strips: Strips | None,
) -> tuple[Frame, Floats]:
    """(what there is to solve, g of its beams (N, 3))."""
    k = wavenumber_per_angstrom(energy_kev=energy_kev)
    bloch = engine.kind == "bloch"
    table = crystal_table(crystal, energy_kev, engine.g_max_per_angstrom, engine.absorption and bloch)
    s_max = engine.s_max_per_angstrom or START_S_MAX_PER_ANGSTROM
    tail = max(s_max, tail_limit(basis))
    far = max(engine.far_s_max_per_angstrom, s_max) if bloch else 0.0
    listed = candidates(table, lab, crystal.hall)
    rows = select_beams(
        reciprocal_lab=lab,
        hkl=listed,
        directions=sampling.directions,
        wavenumber_per_angstrom=k,
        g_max_per_angstrom=engine.g_max_per_angstrom,
        s_max_per_angstrom=max(tail, far),
    )
    hkl = listed[rows]
    g_lab = hkl @ lab.T
    frame = Frame(
        table=table,
        hermitian=crystal_table(crystal, energy_kev, engine.g_max_per_angstrom, False),
        hkl=hkl,
        length_per_angstrom=np.linalg.norm(g_lab, axis=1),
        excitation_error=excitation_errors(g_lab=g_lab, directions=sampling.directions, wavenumber_per_angstrom=k),
        cosine=g_lab @ sampling.directions.T / k,
        wavenumber_per_angstrom=k,
        basis=basis,
        strips=strips,
        s_max_per_angstrom=s_max,
        tail_per_angstrom=tail,
        far_per_angstrom=far,
        dtype=np.dtype(engine.dtype),
    )
    return frame, g_lab


def tail_limit(basis: ThicknessBasis) -> float:
    """s_tail in Å⁻¹: ten over the mean thickness."""
    mean = float(basis.weight @ basis.thickness_angstrom / basis.weight.sum())
    return min(_LARGEST_TAIL_PER_ANGSTROM, _TAIL_THICKNESSES / max(mean, 1.0))
