"""Conservation, closed forms, limits, symmetry and derivatives of the Bloch engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import expm

from twin.derivatives.intensities import intensities_with_derivatives
from twin.model.crystal import Crystal
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import excitation_errors
from twin.physics.kinematical import kinematical_amplitudes
from twin.physics.lattice import Floats, Ints
from twin.physics.potential import potential_matrix, potential_table
from twin.physics.propagation import Complex, propagate
from twin.physics.two_beam import blackman_integrated, two_beam_intensity
from validation.engines.agreement import relative_rms
from validation.engines.problem import BROOKITE, ENERGY_KEV, IN2O3, QUARTZ, Problem, frame, solve
from validation.rows import Row, at_most

K = wavenumber_per_angstrom(energy_kev=ENERGY_KEV)
U, XI = 0.05, K / 0.05  # the two-beam case: |U_g| in Å⁻², extinction distance in Å
_FAR = 0.6  # Å⁻¹; beyond it the rest of a rocking curve is that of single scattering


def limit_rows() -> list[Row]:
    """Everything that has a known answer."""
    still = frame(QUARTZ, thickness_angstrom=500.0, azimuths=8)
    result = solve(still)
    norm = float(np.abs((np.abs(result.amplitudes) ** 2).sum(axis=1) - 1.0).max())
    values = (
        ("unitarity", "|Σ|ψ|² − 1|, quartz 50 nm", norm, 1e-9),
        *_tolerances(),
        ("two-beam", "two beams against the closed form, largest error of an intensity", _two_beams(), 1e-9),
        ("blackman", "integrated two-beam intensity against Blackman, relative", _blackman(), 1e-3),
        ("thin", "single scattering as the limit: In2O3 of 1 Å, diffracted beams, relative rms", thin_limit(1.0), 1e-3),
        ("reciprocity", "source and detector exchanged, quartz 50 nm, largest of ten reflections, relative",
         reciprocity(), 1e-9),
        ("absorption", "absorbing quartz 100 nm against its matrix exponential, largest error of an amplitude",
         absorption_error(), 1e-9),
        ("friedel", "Friedel pairs of In2O3 (centrosymmetric), crystal inverted", _friedel(IN2O3), 1e-9),
        ("derivatives", "derivatives by structure, orientation, thickness against differences",
         derivative_error(), 1e-6),
    )  # fmt: skip
    rows = []
    for id, quantity, value, goal in values:
        text, met = at_most(value, goal)
        rows.append(Row(id=f"limit-{id}", quantity=quantity, value=value, unit="", goal=text, met=met))
    ratio = thin_limit(2.0) / thin_limit(1.0)
    quantity = "the same, 2 Å over 1 Å: the difference is of second order in the thickness"
    rows.append(
        Row(id="limit-thin-order", quantity=quantity, value=ratio, unit="", goal="4 ± 0.2", met=abs(ratio - 4.0) < 0.2)
    )
    hand = 100.0 * _friedel(QUARTZ, relative=True)
    quantity = "Friedel pairs of quartz (not centrosymmetric), Σ|I(g) − I(−g)| / ΣI: the hand shows"
    rows.append(Row(id="limit-hand", quantity=quantity, value=hand, unit="%", goal="> 1", met=hand > 1.0))
    return rows


def _tolerances() -> tuple[tuple[str, str, float, float], ...]:
    """What the engine's two precisions leave of the exact intensities, relative rms over the diffracted beams."""
    rows = []
    for crystal, nm in ((IN2O3, 10), (IN2O3, 70), (BROOKITE, 30)):
        problem = frame(crystal, thickness_angstrom=10.0 * nm)
        exact = np.abs(solve(problem, tolerance=1e-13).amplitudes[:, 1:]) ** 2
        for bits, dtype, tolerance in (("64", np.float64, 1e-7), ("32", np.float32, None)):
            value = relative_rms(np.abs(solve(problem, dtype=dtype, tolerance=tolerance).amplitudes[:, 1:]) ** 2, exact)
            quantity = f"{crystal.name} frame {nm} nm in {bits} bit, as in the timings, relative rms"
            rows.append((f"precision-{crystal.name.lower()}-{nm}-{bits}", quantity, value, 1e-6))
    return tuple(rows)


def _two_beams() -> float:
    t, s = np.linspace(5.0, 3000.0, 40), np.linspace(-0.02, 0.02, 41)
    psi = _pair(s, t)
    closed = two_beam_intensity(extinction_angstrom=XI, excitation_error=s[None, :], thickness_angstrom=t[:, None])
    return float(np.abs(np.abs(psi[:, 1]) ** 2 - closed).max())


def _blackman() -> float:
    wide = np.linspace(-_FAR, _FAR, 12001)
    integral = float(np.trapezoid(np.abs(_pair(wide, np.array([400.0]))[0, 1]) ** 2, wide)) + (U / K) ** 2 / _FAR
    return abs(integral / float(blackman_integrated(extinction_angstrom=XI, thickness_angstrom=400.0)) - 1.0)


def _pair(s: Floats, t: Floats) -> Complex:
    """Amplitudes (J, 2, S) of two beams."""
    return propagate(
        potential=np.array([[0.0, U], [U, 0.0]]),
        excitation_error=np.stack([0 * s, s]),
        wavenumber_per_angstrom=K,
        thickness_angstrom=t,
    )


def thin_limit(thickness_angstrom: float) -> float:
    """Relative rms of the diffracted intensities of a thin In2O3 slab to single scattering."""
    problem = frame(IN2O3, thickness_angstrom=thickness_angstrom, azimuths=8)
    result = solve(problem, tolerance=1e-13)
    index = tuple((result.hkl + np.array(problem.table.limits)).T)
    single = kinematical_amplitudes(
        potential=problem.table.values[index],
        excitation_error=result.excitation_error,
        wavenumber_per_angstrom=K,
        thickness_angstrom=problem.thickness_angstrom,
    )
    there = result.active.copy()
    there[0] = False
    ratio = 1.0 + (result.hkl @ problem.reciprocal_lab.T) @ problem.directions.T / K
    flux = np.abs(single[0]) ** 2 / ratio  # of the exit wave: single scattering has M_g once
    return relative_rms(np.abs(result.amplitudes[0][there]) ** 2, flux[there])


def reciprocity(*, reflections: int = 10) -> float:
    """I_g(K) against the intensity that the wave −(K + g) sends to −K, for directions with s_g = 0, in quartz.

    The reversed experiment is done by turning crystal and waves by 180° about x, so that the beam points down again.
    Its beams are g − h where the first has h. The surface stays where it is.
    """
    problem = frame(QUARTZ, thickness_angstrom=500.0, azimuths=1, precession_deg=0.0)
    first = solve(problem)
    order = np.argsort(-np.abs(first.amplitudes[0, :, 0]))[1 : reflections + 1]
    over = np.diag([1.0, -1.0, -1.0])
    worst = 0.0
    for row in order:
        g = first.g_lab[row]
        beam = _bragg_direction(problem.directions[0], g)
        forward = _column(problem, first.hkl, problem.reciprocal_lab, beam, row)
        back = -over @ (K * beam + g) / K
        hkl = first.hkl[row] - first.hkl
        start = int(np.flatnonzero((hkl == 0).all(axis=1))[0])
        rows = np.concatenate([[start], np.delete(np.arange(len(hkl)), start)])
        goal = int(np.flatnonzero((hkl[rows] == first.hkl[row]).all(axis=1))[0])
        reverse = _column(problem, hkl[rows], over @ problem.reciprocal_lab, back, goal)
        worst = max(worst, abs(reverse / forward - 1.0))
    return worst


def _bragg_direction(beam: Floats, g: Floats) -> Floats:
    """The direction nearest to ``beam`` for which s_g = 0."""
    length = float(np.linalg.norm(g))
    sine = -length / (2.0 * K)  # K · g = −g²/2
    across = beam - (beam @ g) * g / length**2
    return np.asarray(sine * g / length + np.sqrt(1.0 - sine**2) * across / np.linalg.norm(across))


def _column(problem: Problem, hkl: Ints, lab: Floats, beam: Floats, row: int) -> float:
    """Flux of one beam behind a slab whose surface is normal to z."""
    g = hkl @ lab.T
    s = excitation_errors(g_lab=g, directions=[beam], wavenumber_per_angstrom=K)
    k_n = K * beam[2]
    psi = propagate(
        potential=potential_matrix(problem.table, hkl),
        excitation_error=s,
        wavenumber_per_angstrom=K,
        thickness_angstrom=problem.thickness_angstrom,
        normal_cosine_ratio=g[:, 2] / k_n,
        normal_wavenumber_per_angstrom=k_n,
        tolerance=1e-13,
    )
    return float(np.abs(psi[0, row, 0]) ** 2)


def absorption_error() -> float:
    """The recurrence about a complex centre against scipy's exponential: quartz with thermal diffuse absorption × 5."""
    plain = frame(QUARTZ, thickness_angstrom=1000.0, azimuths=4)
    lossy = potential_table(crystal=QUARTZ, energy_kev=ENERGY_KEV, g_max_per_angstrom=1.6, absorption=True)
    values = plain.table.values + 5.0 * (lossy.values - potential_table(
        crystal=QUARTZ, energy_kev=ENERGY_KEV, g_max_per_angstrom=1.6
    ).values)  # fmt: skip
    problem = replace(plain, table=replace(plain.table, values=values))
    result = solve(problem, tolerance=1e-13)
    u = potential_matrix(problem.table, result.hkl)
    worst = 0.0
    for j, beam in enumerate(problem.directions):
        on = np.flatnonzero(result.active[:, j])
        root = 1.0 / np.sqrt(1.0 + result.g_lab[on] @ beam / K)
        matrix = (u[np.ix_(on, on)] + np.diag(2.0 * K * result.excitation_error[on, j])) * np.outer(root, root)
        exact = expm(1j * np.pi * 1000.0 / K * matrix)[:, 0]
        worst = max(worst, float(np.abs(result.amplitudes[0, on, j] - exact).max()))
    return worst


def _friedel(crystal: Crystal, *, relative: bool = False) -> float:
    """Difference between a crystal and its inverse (g → −g with the same beam) at 50 nm."""
    problem = frame(crystal, thickness_angstrom=500.0, azimuths=1, precession_deg=0.0)
    inverse = Problem(
        crystal=crystal,
        rotation=-problem.rotation,
        directions=problem.directions,
        thickness_angstrom=problem.thickness_angstrom,
        g_max_per_angstrom=problem.g_max_per_angstrom,
        s_max_per_angstrom=problem.s_max_per_angstrom,
        table=problem.table,
    )
    a, b = solve(problem), solve(inverse)
    row = {tuple(h): i for i, h in enumerate((-b.hkl).tolist())}
    order = np.array([row[tuple(h)] for h in a.hkl.tolist()])
    one, two = np.abs(a.amplitudes[0, 1:, 0]) ** 2, np.abs(b.amplitudes[0, order[1:], 0]) ** 2
    difference = np.abs(one - two)
    return float(difference.sum() / one.sum() if relative else difference.max())


def derivative_error() -> float:
    """Largest error of our derivatives, relative to the largest derivative, against central differences in 64 bit."""
    problem = frame(QUARTZ, thickness_angstrom=300.0, azimuths=8)
    result = solve(problem)
    u = potential_matrix(problem.table, result.hkl)
    s, rng = result.excitation_error, np.random.default_rng(3)
    noise = rng.normal(size=u.shape) * np.abs(u)
    du, ds = (noise + noise.T) / 2, rng.normal(size=s.shape) * 0.01
    ds[0] = 0.0

    def value(x: float, y: float, z: float) -> tuple[Floats, Floats]:
        return intensities_with_derivatives(
            potential=u + x * du,
            potential_derivatives=du[None],
            excitation_error=s + y * ds,
            excitation_derivatives=ds[None],
            wavenumber_per_angstrom=K,
            thickness_angstrom=np.array([200.0, 300.0]) * (1 + z),
            thickness_weights=[0.4, 0.6],
            azimuth_weights=np.full(8, 0.125),
            rows=np.arange(len(u)),
            thickness_scale_derivative=True,
            active=result.active,
            tolerance=1e-13,
        )

    exact = value(0.0, 0.0, 0.0)[1]
    worst, h = 0.0, 3e-4
    for i, axis in enumerate(np.eye(3)):
        near = value(*(h * axis))[0] - value(*(-h * axis))[0]
        far = value(*(2 * h * axis))[0] - value(*(-2 * h * axis))[0]
        difference = (8 * near - far) / (12 * h)
        worst = max(worst, float(np.abs(exact[i] - difference).max() / np.abs(exact[i]).max()))
    return worst
