"""Frames of real crystals: limits, symmetry, hand, beams."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.optimize import brentq

from twin.model.crystal import Crystal
from twin.physics.beams import coupled_hkl, select_beams
from twin.physics.bloch import BlochResult, bloch_amplitudes
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import excitation_errors, precession_directions
from twin.physics.kinematical import kinematical_amplitudes
from twin.physics.lattice import direct_matrix, miller_indices, reciprocal_matrix, rotation_matrix
from twin.physics.potential import potential_matrix, potential_table
from twin.physics.structure_factors import potential_coefficients

ENERGY = 200.0
K = wavenumber_per_angstrom(energy_kev=ENERGY)


def frame(crystal: Crystal, rotation: np.ndarray, **kwargs: object) -> BlochResult:
    settings: dict[str, object] = {
        "directions": [[0.0, 0.0, 1.0]], "energy_kev": ENERGY, "thickness_angstrom": [100.0],
        "g_max_per_angstrom": 1.2, "s_max_per_angstrom": 0.03,
    }  # fmt: skip
    return bloch_amplitudes(
        crystal=crystal,
        reciprocal_lab=rotation @ reciprocal_matrix(crystal.cell),
        **(settings | kwargs),  # type: ignore[arg-type]
    )


def intensity_of(result: BlochResult, hkl: tuple[int, int, int]) -> float:
    row = np.flatnonzero(np.all(result.hkl == hkl, axis=1))
    return float(np.abs(result.amplitudes[0, row[0], 0]) ** 2)


TILTED = rotation_matrix(axis=[0.3, 0.5, 0.2], angle_deg=33.0)


def test_matrix_entries_are_the_potential(quartz: Crystal) -> None:
    table = potential_table(crystal=quartz, energy_kev=ENERGY, g_max_per_angstrom=0.8)
    hkl = miller_indices(reciprocal=reciprocal_matrix(quartz.cell), g_max_per_angstrom=0.8)
    matrix = potential_matrix(table, hkl)
    difference = (hkl[:, None, :] - hkl[None, :, :]).reshape(-1, 3)
    expected = potential_coefficients(crystal=quartz, hkl=difference, energy_kev=ENERGY).reshape(matrix.shape)
    np.testing.assert_allclose(matrix, expected, atol=1e-14)
    np.testing.assert_allclose(matrix, matrix.conj().T, atol=1e-15)


def test_centrosymmetric_tables_are_real(in2o3: Crystal) -> None:
    table = potential_table(crystal=in2o3, energy_kev=ENERGY, g_max_per_angstrom=0.6)
    assert not np.iscomplexobj(table.values)
    absorbing = potential_table(crystal=in2o3, energy_kev=ENERGY, g_max_per_angstrom=0.6, absorption=True)
    np.testing.assert_allclose(absorbing.values.real, table.values, atol=1e-15)


def test_thin_limit_is_kinematical_in_amplitude_and_phase(quartz: Crystal) -> None:
    """The difference must vanish one order faster than the amplitude: slope 2 in thickness."""
    error = []
    for t in (0.5, 0.25):
        result = frame(quartz, TILTED, thickness_angstrom=[t], s_max_per_angstrom=0.2)
        u = potential_coefficients(crystal=quartz, hkl=result.hkl, energy_kev=ENERGY)
        u[0] = 0.0
        u = u / np.sqrt(1.0 + result.g_lab[:, 2] / K)  # flux through the surface
        thin = kinematical_amplitudes(
            potential=u, excitation_error=result.excitation_error, wavenumber_per_angstrom=K, thickness_angstrom=[t]
        )
        error.append(np.linalg.norm(result.amplitudes[0, 1:] - thin[0, 1:] * np.exp(1j * phase_of_u0(quartz, t))))
        assert error[-1] < 0.05 * np.linalg.norm(thin[0, 1:])
    assert np.log2(error[0] / error[1]) == pytest.approx(2.0, abs=0.05)


def phase_of_u0(crystal: Crystal, t: float) -> float:
    u0 = potential_coefficients(crystal=crystal, hkl=[[0, 0, 0]], energy_kev=ENERGY)[0].real
    return float(np.pi * u0 * t / K)


def test_frames_of_real_crystals_conserve_electrons(in2o3: Crystal) -> None:
    directions = precession_directions(precession_deg=1.0, steps=12)
    result = frame(in2o3, TILTED, directions=directions, thickness_angstrom=[50.0, 300.0], s_max_per_angstrom=0.02)
    np.testing.assert_allclose((np.abs(result.amplitudes) ** 2).sum(axis=1), 1.0, atol=1e-9)
    assert np.all(result.amplitudes[:, ~result.active] == 0)


def test_grouping_directions_changes_nothing(in2o3: Crystal) -> None:
    directions = precession_directions(precession_deg=1.0, steps=12)
    whole = frame(in2o3, TILTED, directions=directions, s_max_per_angstrom=0.02)
    split = frame(in2o3, TILTED, directions=directions, s_max_per_angstrom=0.02, group_size=5)
    np.testing.assert_array_equal(whole.hkl, split.hkl)
    np.testing.assert_allclose(whole.amplitudes, split.amplitudes, atol=1e-9)


def test_centring_absences_decouple_and_screw_absences_do_not(in2o3: Crystal) -> None:
    every = miller_indices(reciprocal=reciprocal_matrix(in2o3.cell), g_max_per_angstrom=0.5)
    kept = coupled_hkl(every, in2o3.hall)
    assert np.all(kept.sum(axis=1) % 2 == 0)
    assert len(kept) == np.count_nonzero(every.sum(axis=1) % 2 == 0)
    zone = rotation_matrix(axis=[0.0, 1.0, 0.0], angle_deg=-90.0)  # a along the beam: 0kl in the zero layer
    for tilt, lit in ((0.0, False), (4.0, True)):
        rotation = rotation_matrix(axis=[0.4, 1.0, 0.0], angle_deg=tilt) @ zone
        result = frame(in2o3, rotation, s_max_per_angstrom=0.05, thickness_angstrom=[200.0])
        forbidden = (result.hkl[:, 0] == 0) & (result.hkl[:, 1] % 2 == 1)  # b glide: 0kl with k odd
        u = potential_coefficients(crystal=in2o3, hkl=result.hkl[forbidden], energy_kev=ENERGY)
        assert np.abs(u).max() < 1e-10
        # the glide plane lies across the beam: in the zone itself upper layers alone light the reflection
        assert (np.abs(result.amplitudes[0, forbidden]).max() ** 2 > 1e-5) == lit


def test_friedel_pairs_in_a_centrosymmetric_crystal(in2o3: Crystal) -> None:
    """Turning the crystal by 180° about the beam exchanges g and −g: intensities agree when there is a centre."""
    turn = rotation_matrix(axis=[0, 0, 1], angle_deg=180.0)
    inverted = frame(in2o3, -TILTED)  # g → −g with the same beam: the inverted crystal is the crystal itself
    direct = frame(in2o3, TILTED)
    order = {tuple(h): i for i, h in enumerate(-inverted.hkl)}
    again = np.array([order[tuple(h)] for h in direct.hkl])
    np.testing.assert_allclose(np.abs(inverted.amplitudes[0, again]), np.abs(direct.amplitudes[0]), atol=1e-12)
    turned = frame(in2o3, turn @ TILTED)
    np.testing.assert_allclose(np.abs(turned.amplitudes[0]), np.abs(direct.amplitudes[0]), atol=1e-9)


def inverse_of(crystal: Crystal) -> Crystal:
    """The other enantiomorph of the quartz fixture: x → −x, P3121 in place of P3221."""
    sites = tuple(dataclasses.replace(s, fract=tuple(-x for x in s.fract)) for s in crystal.sites)  # type: ignore[arg-type]
    return dataclasses.replace(crystal, hall='P 31 2"', sites=sites)


def test_the_hand_of_quartz_shows_only_dynamically(quartz: Crystal) -> None:
    other = inverse_of(quartz)
    for t, low, high in ((0.5, 0.0, 0.005), (300.0, 0.03, 2.0)):
        a, b = (np.abs(frame(c, TILTED, thickness_angstrom=[t]).amplitudes[0, 1:, 0]) ** 2 for c in (quartz, other))
        difference = np.abs(a - b).sum() / a.sum()
        assert low <= difference <= high


def test_inverting_crystal_and_reversing_g_restores_the_intensities(quartz: Crystal) -> None:
    a = frame(quartz, TILTED, thickness_angstrom=[300.0])
    b = frame(inverse_of(quartz), -TILTED, thickness_angstrom=[300.0])
    order = {tuple(h): i for i, h in enumerate(-b.hkl)}
    again = np.array([order[tuple(h)] for h in a.hkl])
    np.testing.assert_allclose(np.abs(a.amplitudes[0]), np.abs(b.amplitudes[0, again]), atol=1e-9)


def test_reciprocity(quartz: Crystal) -> None:
    """K → K + g has the intensity of −(K + g) → −K through the same slab (Pogany & Turner 1968)."""
    b = TILTED @ reciprocal_matrix(quartz.cell)
    hkl = miller_indices(reciprocal=b, g_max_per_angstrom=0.6)
    length = np.linalg.norm(hkl @ b.T, axis=1)
    s = excitation_errors(g_lab=hkl @ b.T, directions=[[0, 0, 1.0]], wavenumber_per_angstrom=K)[:, 0]
    h0 = hkl[np.flatnonzero((length > 0.2) & (np.abs(s) < 0.01))[0]]
    g = b @ h0
    sideways = np.array([g[0], g[1], 0.0]) / np.hypot(g[0], g[1])
    angle = brentq(lambda x: bragg(np.sin(x) * sideways + [0, 0, np.cos(x)], g), -0.2, 0.2)
    incoming = np.sin(angle) * sideways + np.array([0.0, 0.0, np.cos(angle)])
    leaving = -(incoming + g / K)
    common = {"thickness_angstrom": [250.0], "g_max_per_angstrom": 3.2, "surface_normal": [0.0, 0.0, 1.0]}
    there = frame(quartz, TILTED, directions=[incoming], **common)
    flip = np.diag([1.0, -1.0, -1.0])  # turn the laboratory about x: the reversed beam runs along +z again
    back = frame(quartz, flip @ TILTED, directions=[flip @ leaving], **common)
    one, two = intensity_of(there, tuple(h0)), intensity_of(back, tuple(h0))
    assert one > 1e-3
    assert two == pytest.approx(one, rel=1e-3)


def bragg(direction: np.ndarray, g: np.ndarray) -> float:
    return float(excitation_errors(g_lab=[g], directions=[direction], wavenumber_per_angstrom=K)[0, 0])


def test_orientation_convention(quartz: Crystal) -> None:
    """A rotation of crystal and beam together leaves every intensity alone."""
    turn = rotation_matrix(axis=[1.0, 2.0, -0.5], angle_deg=11.0)
    here = frame(quartz, TILTED, thickness_angstrom=[200.0])
    there = frame(quartz, turn @ TILTED, thickness_angstrom=[200.0], directions=[turn @ [0.0, 0.0, 1.0]])
    np.testing.assert_array_equal(here.hkl, there.hkl)
    np.testing.assert_allclose(np.abs(here.amplitudes), np.abs(there.amplitudes), atol=1e-9)


def test_beams_are_selected_by_geometry(in2o3: Crystal) -> None:
    b = TILTED @ reciprocal_matrix(in2o3.cell)
    hkl = miller_indices(reciprocal=b, g_max_per_angstrom=1.2)
    directions = precession_directions(precession_deg=0.8, steps=16)
    chosen = select_beams(
        reciprocal_lab=b, hkl=hkl, directions=directions, wavenumber_per_angstrom=K, g_max_per_angstrom=1.0,
        s_max_per_angstrom=0.01,
    )  # fmt: skip
    s = excitation_errors(g_lab=hkl @ b.T, directions=directions, wavenumber_per_angstrom=K)
    expected = (np.abs(s).min(axis=1) <= 0.01) & (np.linalg.norm(hkl @ b.T, axis=1) <= 1.0)
    assert tuple(hkl[chosen[0]]) == (0, 0, 0)
    np.testing.assert_array_equal(np.sort(chosen), np.flatnonzero(expected))
    assert direct_matrix(in2o3.cell).shape == (3, 3)
