"""Multislice against Bloch waves by dense diagonalisation: they share nothing but the scattering factors."""

from itertools import pairwise

import numpy as np
import pytest

from twin.model.crystal import Cell, Crystal, Site
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import excitation_errors
from twin.physics.lattice import miller_indices, reciprocal_matrix
from twin.physics.multislice import (
    AtomCloud,
    Grid,
    estimate,
    exit_waves,
    phase_slices,
    plane_wave,
)
from twin.physics.structure_factors import expand_to_p1, potential_coefficients

CHIRAL = Crystal(
    name="no symmetry at all",
    cell=Cell(a_angstrom=4.1, b_angstrom=4.1, c_angstrom=5.2),
    hall="P 1",
    sites=(
        Site(label="Ti1", element="Ti", fract=(0.11, 0.07, 0.21), u_iso_angstrom2=0.006),
        Site(label="O1", element="O", fract=(0.43, 0.61, 0.52), u_iso_angstrom2=0.008),
        Site(label="In1", element="In", fract=(0.72, 0.31, 0.83), u_iso_angstrom2=0.005),
    ),
)
DIRECTION = np.array([[0.004, -0.007, 1.0]]) / np.linalg.norm([0.004, -0.007, 1.0])
CELLS = 8


def _cloud(crystal: Crystal, cells: int) -> AtomCloud:
    atoms = expand_to_p1(crystal)
    lengths = np.array(crystal.cell.parameters[:3])
    position = (atoms.fract[None] + np.array([0.0, 0.0, 1.0]) * np.arange(cells)[:, None, None]) * lengths
    elements = tuple(sorted({site.element for site in crystal.sites}))
    u = {site.element: site.u_iso_angstrom2 for site in crystal.sites}
    return AtomCloud(
        position_angstrom=position.reshape(-1, 3),
        element=np.tile([elements.index(e) for e in atoms.element], cells),
        weight=np.tile(atoms.occupancy, cells),
        elements=elements,
        u_iso_angstrom2=tuple(u[e] for e in elements),
    )


def _multislice(points: int, slice_angstrom: float) -> np.ndarray:
    grid = Grid(points=points, extent_angstrom=CHIRAL.cell.a_angstrom)
    cloud = _cloud(CHIRAL, CELLS)
    waves = exit_waves(
        phases=phase_slices(atoms=cloud, grid=grid, energy_kev=200.0, slice_angstrom=slice_angstrom),
        incident=plane_wave(grid=grid, waves=1),
        grid=grid,
        energy_kev=200.0,
        slice_angstrom=slice_angstrom,
        directions=DIRECTION,
    )
    return np.asarray(np.abs(waves[0]) ** 2, dtype=np.float64)


def _bloch() -> dict[tuple[int, int], float]:
    """Intensity for each (h, k): beams of all l leave together at an exit face at a whole number of cells."""
    reciprocal, k = reciprocal_matrix(CHIRAL.cell), wavenumber_per_angstrom(energy_kev=200.0)
    hkl = miller_indices(reciprocal=reciprocal, g_max_per_angstrom=2.6)
    s = excitation_errors(g_lab=hkl @ reciprocal.T, directions=DIRECTION, wavenumber_per_angstrom=k)[:, 0]
    hkl, s = hkl[np.abs(s) < 0.25], s[np.abs(s) < 0.25]
    difference = (hkl[:, None, :] - hkl[None, :, :]).reshape(-1, 3)
    matrix = potential_coefficients(crystal=CHIRAL, hkl=difference, energy_kev=200.0).reshape(len(s), -1)
    matrix[np.diag_indices(len(s))] += 2 * k * s
    values, vectors = np.linalg.eigh(matrix)
    thickness = CELLS * CHIRAL.cell.c_angstrom
    wave = vectors @ (np.exp(1j * np.pi * values * thickness / (k * DIRECTION[0, 2])) * vectors[0].conj())
    total: dict[tuple[int, int], complex] = {}
    for (h, k_index, _), amplitude in zip(hkl.tolist(), wave, strict=True):
        total[h, k_index] = total.get((h, k_index), 0j) + amplitude
    return {key: abs(amplitude) ** 2 for key, amplitude in total.items() if abs(amplitude) ** 2 > 1e-4}


def _fourier_phases(points: int, slices: int) -> list[np.ndarray]:
    """Phases of the slices of one cell from the same Fourier potential that the Bloch waves use, sharp end faces."""
    k, c = wavenumber_per_angstrom(energy_kev=200.0), CHIRAL.cell.c_angstrom
    index = np.fft.fftfreq(points, 1.0 / points).astype(int)
    level = np.arange(-16, 17)
    hkl = np.stack(np.meshgrid(index, index, level, indexing="ij"), axis=-1).reshape(-1, 3)
    short = np.linalg.norm(hkl @ reciprocal_matrix(CHIRAL.cell).T, axis=1) < 5.6
    u = np.zeros(len(hkl), dtype=complex)
    u[short] = potential_coefficients(crystal=CHIRAL, hkl=hkl[short], energy_kev=200.0)
    u = u.reshape(points, points, len(level))
    edges = np.linspace(0.0, 1.0, slices + 1)
    phases = []
    for z0, z1 in pairwise(edges):
        mean = np.exp(1j * np.pi * level * (z0 + z1)) * np.sinc(level * (z1 - z0)) * (z1 - z0) * c
        field = np.fft.ifft2(u @ mean).real.T * points**2
        phases.append((np.pi / (k * DIRECTION[0, 2]) * field).astype(np.float32))
    return phases


def test_slab_agrees_with_bloch_waves_without_symmetry_so_that_every_sign_counts() -> None:
    grid = Grid(points=48, extent_angstrom=CHIRAL.cell.a_angstrom)
    slices = 24
    waves = exit_waves(
        phases=iter(_fourier_phases(grid.points, slices) * CELLS),
        incident=plane_wave(grid=grid, waves=1),
        grid=grid,
        energy_kev=200.0,
        slice_angstrom=CHIRAL.cell.c_angstrom / slices,
        directions=DIRECTION,
    )
    pattern = np.abs(waves[0]) ** 2
    bloch = _bloch()
    expected = np.array(list(bloch.values()))
    measured = np.array([pattern[k, h] for h, k in bloch])
    friedel = np.array([pattern[-k, -h] for h, k in bloch])  # a wrong sign of F or of the flight would land here
    assert np.abs(measured - expected).sum() / expected.sum() < 0.01
    assert np.abs(friedel - expected).sum() / (expected.sum() - expected.max()) > 0.2


def test_thinner_slices_converge() -> None:
    reference = _multislice(48, CHIRAL.cell.c_angstrom / 32)
    errors = [np.abs(_multislice(48, CHIRAL.cell.c_angstrom / n) - reference).sum() for n in (1, 2, 16)]
    assert errors[0] > errors[1] > errors[2]
    assert 0.0 < errors[2] < 2e-3


def test_electrons_are_conserved_but_for_the_band_limit() -> None:
    assert _multislice(64, 0.65).sum() == pytest.approx(1.0, abs=5e-3)


def test_moving_the_crystal_sideways_changes_no_intensity() -> None:
    grid = Grid(points=48, extent_angstrom=CHIRAL.cell.a_angstrom)
    patterns = []
    for shift in ([0.0, 0.0, 0.0], [0.613, 1.177, 0.0]):
        cloud = _cloud(CHIRAL, 4)
        moved = AtomCloud(
            position_angstrom=cloud.position_angstrom + np.array(shift),
            element=cloud.element,
            weight=cloud.weight,
            elements=cloud.elements,
            u_iso_angstrom2=cloud.u_iso_angstrom2,
        )
        waves = exit_waves(
            phases=phase_slices(atoms=moved, grid=grid, energy_kev=200.0, slice_angstrom=1.3),
            incident=plane_wave(grid=grid, waves=1),
            grid=grid,
            energy_kev=200.0,
            slice_angstrom=1.3,
            directions=DIRECTION,
        )
        patterns.append(np.abs(waves[0]) ** 2)
    np.testing.assert_allclose(patterns[0], patterns[1], atol=2e-4 * patterns[0].max())


def test_the_estimate_counts_the_slices() -> None:
    told = estimate(atoms=_cloud(CHIRAL, CELLS), grid=Grid(points=48, extent_angstrom=4.1), slice_angstrom=1.3, waves=2)
    assert told.slices == 31
    assert "MiB" in told.sentence(seconds_per_transform=1e-3)
