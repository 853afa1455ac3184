"""Why Bloch waves lose intensity at high angles: beams near the Ewald sphere do not tell atoms apart in depth.

A periodic slab of atoms along [122], off the zone, by multislice and by Bloch waves with more and more beams. With
|s| ≤ s_max the potential is known to about 1/(2 s_max) along the beam, while a heavy atom scatters several times within
0.2 Å. A crystal of one indium atom is small enough to take every beam there is.
"""

from __future__ import annotations

import math

import numpy as np

from twin.model.crystal import Cell, Crystal, Site
from twin.physics.bloch import bloch_amplitudes
from twin.physics.lattice import Floats, Ints, reciprocal_matrix
from twin.physics.multislice import Grid, exit_waves, phase_slices, plane_wave
from twin.physics.potential import PotentialTable, potential_table
from validation.engines.multislice_columns import along_122, directions_off_zone, periodic_slab
from validation.engines.problem import ENERGY_KEV, IN2O3
from validation.rows import Row, at_most

INDIUM = Crystal(
    name="one indium atom in 4.05 Å",
    cell=Cell(a_angstrom=4.05, b_angstrom=4.05, c_angstrom=4.05),
    hall="-P 4 2 3",
    sites=(Site(label="In", element="In", fract=(0.0, 0.0, 0.0), u_iso_angstrom2=0.004),),
)
G_MAX = 2.4
_SLICE_ANGSTROM = 0.5
_LEAST = 2e-4


def slab_pattern(crystal: Crystal, *, periods: int, directions: Floats) -> Floats:
    """Intensity (n, n) behind ``periods`` of 3a along [122], averaged over the directions; waves to G_MAX, the
    potential to twice that, as in the Bloch waves."""
    extent = 3.0 * crystal.cell.a_angstrom
    points = 2 * math.ceil(3.0 * extent * G_MAX)
    grid = Grid(points=points, extent_angstrom=extent, wave_limit_per_angstrom=G_MAX)
    cloud = periodic_slab(crystal=crystal, extent_angstrom=extent, thickness_angstrom=periods * extent)
    slices = math.ceil(periods * extent / _SLICE_ANGSTROM)
    thick = periods * extent / slices
    total = np.zeros((points, points))
    for direction in directions:
        wave = exit_waves(
            phases=phase_slices(atoms=cloud, grid=grid, energy_kev=ENERGY_KEV, slice_angstrom=thick),
            incident=plane_wave(grid=grid, waves=1),
            grid=grid,
            energy_kev=ENERGY_KEV,
            slice_angstrom=thick,
            directions=direction,
        )[0]
        total += np.abs(wave) ** 2
    return total / len(directions)


def bloch_pattern(
    crystal: Crystal, *, table: PotentialTable, periods: int, directions: Floats, s_max: float, points: int
) -> Floats:
    """The same by Bloch waves; beams that leave together are summed."""
    extent = 3.0 * crystal.cell.a_angstrom
    total = np.zeros((points, points))
    for direction in directions:
        result = bloch_amplitudes(
            crystal=crystal,
            reciprocal_lab=along_122() @ reciprocal_matrix(crystal.cell),
            directions=direction,
            energy_kev=ENERGY_KEV,
            thickness_angstrom=[periods * extent],
            g_max_per_angstrom=G_MAX,
            s_max_per_angstrom=s_max,
            surface_normal=[0.0, 0.0, 1.0],
            table=table,
            dtype=np.float32,
        )
        index: Ints = np.round(result.g_lab[:, :2] * extent).astype(np.int64)
        wave = np.zeros((points, points), dtype=np.complex128)
        np.add.at(wave, (index[:, 1], index[:, 0]), result.amplitudes[0, :, 0])
        total += np.abs(wave) ** 2
    return total / len(directions)


def compared(waves: Floats, bloch: Floats, *, extent_angstrom: float) -> tuple[float, float, int]:
    """(multislice over Bloch in percent, summed over beams of 0.8 to 1.5 Å⁻¹; R1 in percent from 0.1 to 1.5 Å⁻¹; n)."""
    q = np.fft.fftfreq(len(waves), extent_angstrom / len(waves))
    length = np.hypot(q[None, :], q[:, None])
    strong = (bloch > _LEAST) & (length > 0.1) & (length < 1.5)
    outer = strong & (length > 0.8)
    a, b = np.sqrt(waves[strong]), np.sqrt(bloch[strong])
    ratio = float(waves[outer].sum() / bloch[outer].sum())
    return 100.0 * (ratio - 1.0), 100.0 * float(np.abs(a - b).sum() / a.sum()), int(strong.sum())


def depth_rows(*, quick: bool) -> list[Row]:
    """Both crystals, with rising cut-offs in excitation error."""
    cases = ((INDIUM, 8, (0.05, 0.1, 0.4, 0.8, 1.6)), (IN2O3, 3, (0.05, 0.1) if quick else (0.05, 0.1, 0.2)))
    directions = directions_off_zone(2 if quick else 4)
    rows = []
    for crystal, periods, cuts in cases:
        extent = 3.0 * crystal.cell.a_angstrom
        waves = slab_pattern(crystal, periods=periods, directions=directions)
        table = potential_table(crystal=crystal, energy_kev=ENERGY_KEV, g_max_per_angstrom=G_MAX)
        for s_max in cuts:
            bloch = bloch_pattern(
                crystal, table=table, periods=periods, directions=directions, s_max=s_max, points=len(waves)
            )
            outer, r1, n = compared(waves, bloch, extent_angstrom=extent)
            whole = crystal is INDIUM and s_max == cuts[-1]
            goal, met = at_most(r1, 1.0) if whole else ("", None)
            rows.append(
                Row(
                    id=f"depth-{crystal.name.split()[0]}-{s_max}",
                    quantity=f"{crystal.name}, {periods * extent / 10:.1f} nm along [122], off the zone, g ≤ {G_MAX},"
                    f" |s| ≤ {s_max} Å⁻¹: Bloch waves against multislice",
                    value=r1,
                    unit="% R1",
                    goal=goal,
                    met=met,
                    n=n,
                    note=f"beams of 0.8 to 1.5 Å⁻¹ together: multislice {outer:+.1f} % over Bloch",
                )
            )
    return rows
