"""The propagator against matrix exponentials, conservation laws and closed forms."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.special import jv

from twin.physics.blocks import blocks
from twin.physics.bounds import hermitian_bounds
from twin.physics.chebyshev import bessel_j
from twin.physics.decomposition import decomposition_is_cheaper
from twin.physics.propagation import propagate as propagate_by_cost
from twin.physics.propagation import propagate_slab
from twin.physics.slab import prepare_slab
from twin.physics.two_beam import two_beam_intensity

K = 39.87
NODES = np.array([15.0, 120.0, 400.0])


def propagate(**kwargs: Any) -> np.ndarray:
    """By the recurrence, which so few beams would not get."""
    return propagate_by_cost(**({"method": "recurrence"} | kwargs))


def random_case(kind: str, *, n: int = 70, orientations: int = 5, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a, b, c = (rng.normal(size=(n, n)) * 0.01 for _ in range(3))
    u = (a + a.T) / 2
    if "complex" in kind:
        u = u + 1j * (b - b.T) / 2
    if "absorbing" in kind:
        u = u + 0.3j * (c @ c.T)
    s = rng.uniform(-0.03, 0.03, size=(n, orientations))
    s[0] = 0.0
    return u, s


def exponential(u: np.ndarray, s: np.ndarray, t: float) -> np.ndarray:
    return np.asarray(expm(1j * np.pi / K * t * (u + np.diag(2 * K * s)))[:, 0])


@pytest.mark.parametrize("kind", ["real", "complex", "real absorbing", "complex absorbing"])
def test_agrees_with_the_matrix_exponential(kind: str) -> None:
    u, s = random_case(kind)
    psi = propagate(
        potential=u, excitation_error=s, wavenumber_per_angstrom=K, thickness_angstrom=NODES, tolerance=1e-12
    )
    for j, t in enumerate(NODES):
        for i in range(s.shape[1]):
            np.testing.assert_allclose(psi[j, :, i], exponential(u, s[:, i], t), rtol=0, atol=1e-11)


def test_masked_beams_take_no_part() -> None:
    u, s = random_case("complex")
    active = np.random.default_rng(3).uniform(size=s.shape) < 0.5
    active[0] = True
    psi = propagate(potential=u, excitation_error=s, wavenumber_per_angstrom=K, thickness_angstrom=NODES, active=active)
    for i in range(s.shape[1]):
        keep = active[:, i]
        expected = exponential(u[np.ix_(keep, keep)], s[keep, i], NODES[-1])
        np.testing.assert_allclose(psi[-1, keep, i], expected, rtol=0, atol=1e-9)
        assert np.all(psi[:, ~keep, i] == 0)


def test_norm_is_conserved_without_absorption_and_lost_with_it() -> None:
    u, s = random_case("real", n=150)
    norm = (np.abs(propagate(
        potential=u, excitation_error=s, wavenumber_per_angstrom=K, thickness_angstrom=NODES
    )) ** 2).sum(axis=1)  # fmt: skip
    np.testing.assert_allclose(norm, 1.0, atol=1e-9)
    damped = u + 1j * 0.002 * np.eye(len(u))
    lost = (np.abs(propagate(
        potential=damped, excitation_error=s, wavenumber_per_angstrom=K, thickness_angstrom=NODES
    )) ** 2).sum(axis=1)  # fmt: skip
    expected = np.broadcast_to(np.exp(-2 * np.pi * 0.002 * NODES / K)[:, None], lost.shape)
    np.testing.assert_allclose(lost, expected, rtol=1e-8)


def test_single_precision_stays_within_a_millionth() -> None:
    u, s = random_case("real", n=200)
    kwargs = {"potential": u, "excitation_error": s, "wavenumber_per_angstrom": K, "thickness_angstrom": [100.0]}
    full = np.abs(propagate(**kwargs)) ** 2
    single = np.abs(propagate(**kwargs, dtype=np.float32)) ** 2
    assert np.abs(single - full).max() < 1e-6
    assert np.linalg.norm(single - full) / np.linalg.norm(full) < 2e-6


def test_two_beams_match_the_closed_form() -> None:
    u = 0.04 * np.array([[0.0, np.exp(0.7j)], [np.exp(-0.7j), 0.0]])
    s = np.stack([np.zeros(9), np.linspace(-0.01, 0.01, 9)])
    t = np.linspace(10.0, 2000.0, 7)
    psi = propagate(potential=u, excitation_error=s, wavenumber_per_angstrom=K, thickness_angstrom=t)
    expected = two_beam_intensity(
        extinction_angstrom=K / 0.04, excitation_error=s[1][None, :], thickness_angstrom=t[:, None]
    )
    np.testing.assert_allclose(np.abs(psi[:, 1]) ** 2, expected, atol=1e-10)


def test_two_slabs_make_one() -> None:
    """Semigroup: propagating to 2t equals applying the scattering matrix of t twice."""
    u, s = random_case("complex", n=40, orientations=1)
    once = propagate(potential=u, excitation_error=s, wavenumber_per_angstrom=K, thickness_angstrom=[90.0, 180.0])
    matrix = expm(1j * np.pi / K * 90.0 * (u + np.diag(2 * K * s[:, 0])))
    np.testing.assert_allclose(matrix @ once[0, :, 0], once[1, :, 0], atol=1e-9)


def test_surface_factors_conserve_flux_and_rescale_the_operator() -> None:
    u, s = random_case("complex")
    ratio = np.random.default_rng(5).uniform(-0.05, 0.05, size=len(u))
    ratio[0] = 0.0
    psi = propagate(
        potential=u, excitation_error=s, wavenumber_per_angstrom=K, thickness_angstrom=NODES,
        normal_cosine_ratio=ratio, normal_wavenumber_per_angstrom=0.9 * K,
    )  # fmt: skip
    np.testing.assert_allclose((np.abs(psi) ** 2).sum(axis=1), 1.0, atol=1e-9)
    root = 1 / np.sqrt(1 + ratio)
    a = (u + np.diag(2 * K * s[:, 0])) * np.outer(root, root)
    expected = expm(1j * np.pi / (0.9 * K) * NODES[1] * a)[:, 0]
    np.testing.assert_allclose(psi[1, :, 0], expected, atol=1e-9)


def test_each_orientation_may_have_its_own_surface() -> None:
    u, s = random_case("complex absorbing")
    rng = np.random.default_rng(6)
    ratio, normal = rng.uniform(-0.05, 0.05, size=s.shape), K * rng.uniform(0.9, 1.0, size=s.shape[1])
    ratio[0] = 0.0
    psi = propagate(
        potential=u,
        excitation_error=s,
        wavenumber_per_angstrom=K,
        thickness_angstrom=NODES,
        normal_cosine_ratio=ratio,
        normal_wavenumber_per_angstrom=normal,
    )
    for i in range(s.shape[1]):
        root = 1 / np.sqrt(1 + ratio[:, i])
        a = (u + np.diag(2 * K * s[:, i])) * np.outer(root, root)
        expected = expm(1j * np.pi / normal[i] * NODES[-1] * a)[:, 0]
        np.testing.assert_allclose(psi[-1, :, i], expected, atol=1e-9)


def test_rows_pick_beams() -> None:
    u, s = random_case("real")
    kwargs = {"potential": u, "excitation_error": s, "wavenumber_per_angstrom": K, "thickness_angstrom": NODES}
    everything = propagate(**kwargs)
    np.testing.assert_allclose(propagate(**kwargs, rows=[5, 0, 17]), everything[:, [5, 0, 17]], atol=1e-13)


@pytest.mark.parametrize("n", [40, 300])
def test_bounds_enclose_the_spectrum(n: int) -> None:
    for seed in range(5):
        u, _ = random_case("complex", n=n, seed=seed)
        values = np.linalg.eigvalsh(u)
        low, high = hermitian_bounds(u)
        assert low <= values[0] + 1e-12
        assert high >= values[-1] - 1e-12
        assert high - low < 2.0 * (values[-1] - values[0])


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="square"):
        propagate(
            potential=np.eye(3), excitation_error=np.zeros((4, 1)), wavenumber_per_angstrom=K, thickness_angstrom=[1.0]
        )


def test_too_narrow_bounds_are_noticed_and_repaired() -> None:
    u, s = random_case("real", n=90)
    slab = prepare_slab(potential=u, excitation_error=s, wavenumber_per_angstrom=K)
    for factor in (0.8, 0.3, 0.01):
        narrow = dataclasses.replace(slab, spectra=(slab.spectra[0].widened(factor), *slab.spectra))
        common = {"thickness_angstrom": NODES, "rows": None, "tolerance": None, "dtype": np.float64}
        expected = propagate_slab(slab=slab, **common)
        np.testing.assert_allclose(propagate_slab(slab=narrow, **common), expected, atol=1e-9)


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        propagate(
            potential=np.full((2, 2), np.nan),
            excitation_error=np.zeros((2, 1)),
            wavenumber_per_angstrom=K,
            thickness_angstrom=[1.0],
        )


def test_nothing_happens_in_no_thickness_and_one_beam_keeps_its_electrons() -> None:
    u, s = random_case("complex")
    start = propagate(potential=u, excitation_error=s, wavenumber_per_angstrom=K, thickness_angstrom=[0.0])
    np.testing.assert_allclose(start[0, 0], 1.0, atol=1e-14)
    np.testing.assert_allclose(start[0, 1:], 0.0, atol=1e-14)
    alone = propagate(potential=[[0.1]], excitation_error=[[0.0]], wavenumber_per_angstrom=K, thickness_angstrom=[50.0])
    np.testing.assert_allclose(alone[0, 0, 0], np.exp(1j * np.pi * 0.1 * 50.0 / K), atol=1e-12)


def test_blocks_share_out_every_orientation_once() -> None:
    u, s = random_case("real", n=90, orientations=37)
    active = np.abs(s) < 0.015
    slab = prepare_slab(potential=u, excitation_error=s, wavenumber_per_angstrom=K, active=active)
    parts = blocks(slab)
    np.testing.assert_array_equal(np.concatenate([b.columns for b in parts]), np.arange(37))
    active[0] = True
    for part in parts:
        np.testing.assert_array_equal(part.rows, np.flatnonzero(active[:, part.columns].any(axis=1)))


def test_a_real_potential_that_is_not_symmetric_is_refused() -> None:
    with pytest.raises(ValueError, match="symmetric"):
        propagate(
            potential=np.array([[0, 1], [2, 0]]),
            excitation_error=np.zeros((2, 1)),
            wavenumber_per_angstrom=K,
            thickness_angstrom=[1.0],
        )


def test_bessel_functions_are_those_of_scipy() -> None:
    x = np.array([0.0, 1e-9, -0.3, 1.0, 14.0, -200.0, 3000.0])
    for count in (2, 30, 3100):
        np.testing.assert_allclose(bessel_j(x, count), jv(np.arange(count)[:, None], x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_bounds_hold_for_the_orientations_that_were_not_looked_at(seed: int) -> None:
    u, s = random_case("real", n=150, orientations=24, seed=seed)
    ratio = np.random.default_rng(seed).uniform(-0.05, 0.05, size=s.shape)
    slab = prepare_slab(potential=u, excitation_error=s, wavenumber_per_angstrom=K, normal_cosine_ratio=ratio)
    first = slab.spectra[0]
    for i in range(s.shape[1]):
        root = 1.0 / np.sqrt(1.0 + ratio[:, i])
        values = np.linalg.eigvalsh((u + np.diag(2 * K * s[:, i])) * np.outer(root, root))
        assert first.centre - first.radius <= values[0]
        assert values[-1] <= first.centre + first.radius
    assert first.radius < 1.15 * 0.5 * np.ptp(values)


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_eigenvectors_and_recurrence_are_one_function(kind: str) -> None:
    u, s = random_case(kind, n=80, orientations=6)
    ratio = np.random.default_rng(8).uniform(-0.05, 0.05, size=s.shape)
    ratio[0] = 0.0
    common = {
        "potential": u, "excitation_error": s, "wavenumber_per_angstrom": K, "thickness_angstrom": NODES,
        "normal_cosine_ratio": ratio, "active": np.abs(s) < 0.02, "rows": [0, 7, 3],
    }  # fmt: skip
    one, two = (propagate(**common, method=method) for method in ("recurrence", "eigenvectors"))
    np.testing.assert_allclose(one, two, atol=1e-9)
    single = propagate(**common, method="eigenvectors", dtype=np.float32)
    assert single.dtype == np.complex64
    np.testing.assert_allclose(single, two, atol=1e-6)


def test_the_method_follows_the_cost() -> None:
    u, s = random_case("real", n=150, orientations=64)
    many = prepare_slab(potential=u, excitation_error=s, wavenumber_per_angstrom=K)
    one = prepare_slab(potential=u, excitation_error=s[:, :1], wavenumber_per_angstrom=K)
    few = prepare_slab(potential=u[:12, :12], excitation_error=s[:12, :1], wavenumber_per_angstrom=K)
    lossy = prepare_slab(
        potential=u[:12, :12] + 0.01j * np.eye(12), excitation_error=s[:12, :1], wavenumber_per_angstrom=K
    )
    thin, thick = np.array([100.0]), np.array([30000.0])
    assert not decomposition_is_cheaper(many, thickness_angstrom=thin)
    assert not decomposition_is_cheaper(one, thickness_angstrom=thin)
    assert decomposition_is_cheaper(one, thickness_angstrom=thick)
    assert decomposition_is_cheaper(few, thickness_angstrom=thin)
    assert not decomposition_is_cheaper(lossy, thickness_angstrom=thick)


def test_rows_in_any_order_name_their_own_beams() -> None:
    """All beams of a block, asked for backwards."""
    u, s = random_case("complex", n=12, orientations=3)
    common: dict[str, Any] = {
        "potential": u, "excitation_error": s, "wavenumber_per_angstrom": K, "thickness_angstrom": NODES,
    }  # fmt: skip
    backwards = np.arange(12)[::-1]
    assert np.array_equal(propagate(**common, rows=backwards), propagate(**common)[:, backwards])


def test_eigenvectors_refuse_absorption() -> None:
    u, s = random_case("absorbing", n=12, orientations=2)
    with pytest.raises(ValueError, match="without absorption"):
        propagate(
            potential=u, excitation_error=s, wavenumber_per_angstrom=K, thickness_angstrom=NODES, method="eigenvectors"
        )
