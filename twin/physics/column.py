"""Column approximation: a particle as independent columns of thickness t(x, y) under a beam of amplitude b(x, y).

The wave behind the particle is b(x, y) φ_g(t(x, y)) for each reflection. Let μ be the distribution of thickness,
weighted by |b|², and p_n the polynomials that are orthonormal on it. Then φ_g(t) = Σ_n a_n p_n(t) with
a_n = ∫ φ_g p_n dμ, the maps m_n = b p_n(t) are orthonormal in the plane, and

    integrated intensity  ∫ |b φ_g|² dx dy = Σ_n |a_n|²                (Parseval)
    spot                  P_g(q) = Σ_nm ρ_nm M_n(q) M_m(q)*,  ρ_nm = Σ_azimuths w a_n a_m*

come from one object. The integrals over μ are Gauss quadratures (Golub & Welsch, Math. Comp. 23 (1969) 221) at J
thickness nodes, exact for intensities that are polynomials in t of degree 2J − 1. Column approximation: Hirsch et
al., Electron Microscopy of Thin Crystals (1965), chapter 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.special import j1

from twin.physics.lattice import Floats

Complex = NDArray[np.complexfloating[Any, Any]]
_BINS = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ThicknessBasis:
    """Gauss nodes and orthonormal polynomials of a thickness distribution.

    thickness_angstrom (J,), weight (J,): Σ weight = ∫ |b|² over the particle. diagonal (J,), off_diagonal (J,): the
    three-term recurrence in t / scale_angstrom; off_diagonal[0]² is the total weight. transform (J, J):
    a = transform @ φ. samples: the distribution itself, t (n,) and weight (n,).
    """

    thickness_angstrom: Floats
    weight: Floats
    diagonal: Floats
    off_diagonal: Floats
    scale_angstrom: float
    transform: Floats
    samples: tuple[Floats, Floats]


def thickness_basis(*, thickness_angstrom: ArrayLike, weight: ArrayLike, nodes: int) -> ThicknessBasis:
    """Basis with at most ``nodes`` nodes from samples of thickness (n,) > 0 and their weights (n,).

    Fewer nodes come back when the distribution has fewer different values (a slab has one).
    """
    t = np.asarray(thickness_angstrom, dtype=np.float64).ravel()
    w = np.asarray(weight, dtype=np.float64).ravel()
    scale = float(t.max())
    x, w = binned(t / scale, w)
    diagonal, off_diagonal = _recurrence(x, w, nodes)
    count = diagonal.size
    jacobi = np.diag(diagonal) + np.diag(off_diagonal[1:], 1) + np.diag(off_diagonal[1:], -1)
    values, vectors = np.linalg.eigh(jacobi)
    weights = off_diagonal[0] ** 2 * vectors[0] ** 2
    polynomials = _evaluate(values, diagonal, off_diagonal, count)
    return ThicknessBasis(
        thickness_angstrom=np.maximum(values, 0.0) * scale,
        weight=weights,
        diagonal=diagonal,
        off_diagonal=off_diagonal,
        scale_angstrom=scale,
        transform=polynomials * weights[None, :],
        samples=(x * scale, w),
    )


def mode_maps(*, basis: ThicknessBasis, thickness_angstrom: ArrayLike, amplitude: ArrayLike, modes: int) -> Floats:
    """b(x, y) p_n(t(x, y)) inside the particle and 0 outside; (modes, ...) on the grid of ``thickness_angstrom``."""
    t = np.asarray(thickness_angstrom, dtype=np.float64)
    b = np.where(t > 0.0, np.asarray(amplitude, dtype=np.float64), 0.0)
    values = _evaluate((t / basis.scale_angstrom).ravel(), basis.diagonal, basis.off_diagonal, modes)
    return np.asarray(values.reshape(modes, *t.shape) * b)


def integrated_intensity(*, basis: ThicknessBasis, amplitudes: ArrayLike) -> Floats:
    """∫ |b φ|² dx dy for amplitudes (J, N, S) at the nodes; (N, S), in units of the beam's electrons."""
    psi = np.asarray(amplitudes)
    return np.asarray(np.einsum("j,jns->ns", basis.weight.astype(psi.real.dtype), psi.real**2 + psi.imag**2))


def mean_rocking_curve(*, basis: ThicknessBasis, excitation_error: ArrayLike) -> Floats:
    """∫ t² sinc²(s t) dμ in Å² at s in Å⁻¹ (any shape), by interpolation in a table of 2000 steps."""
    s = np.abs(np.asarray(excitation_error, dtype=np.float64))
    table = np.linspace(0.0, max(float(s.max(initial=0.0)), 1e-6), 2000)
    t, w = basis.samples
    values = np.concatenate([(t * np.sinc(part[:, None] * t)) ** 2 @ w for part in np.array_split(table, 8)])
    return np.asarray(np.interp(s, table, values))


def density_matrices(
    *, basis: ThicknessBasis, amplitudes: Complex, excitation_error: Floats, azimuth_weight: Floats, modes: int
) -> Complex:
    """ρ (N, modes, modes) of the amplitudes (J, N, S), their phase referred to the middle of each column.

    The factor exp(−iπ s t) does that: a kinematical amplitude becomes real, so that a sphere's spot is its shape
    transform. azimuth_weight (S,); excitation_error (N, S) Å⁻¹.
    """
    j, n, s = amplitudes.shape
    phase = (-np.pi * excitation_error[None] * basis.thickness_angstrom[:, None, None]).astype(amplitudes.real.dtype)
    centred = amplitudes * (np.cos(phase) + 1j * np.sin(phase))
    transform = basis.transform[:modes].astype(amplitudes.dtype)
    a = (transform @ centred.reshape(j, n * s)).reshape(modes, n, s).transpose(1, 0, 2)
    return np.asarray((a * azimuth_weight.astype(a.real.dtype)) @ a.conj().transpose(0, 2, 1))


def spot_templates(*, maps: Floats, samples: int, pixel_angstrom: float, disc_radius_per_angstrom: float) -> Floats:
    """Real basis of spot shapes, (modes², samples, samples), for :func:`spot_coefficients`.

    maps (modes, n, n) with n ≥ samples, on a grid of ``pixel_angstrom``; the templates cover the ``samples`` central
    steps of 1/(n · pixel) around q = 0 (at index samples // 2) and are folded with the illumination's disc. Their sum
    over all n² steps would be the Gram matrix of the maps times 1 (so a normalised mode sums to 1).
    """
    modes, n, _ = maps.shape
    spectrum = fft.fft2(fft.ifftshift(maps, axes=(1, 2)).astype(np.complex64), axes=(1, 2)) * (pixel_angstrom / n)
    damping = _disc_transform(n, pixel_angstrom, disc_radius_per_angstrom)
    index = (np.arange(samples) - samples // 2) % n
    diagonal, real, imaginary = [], [], []
    for i in range(modes):
        for k in range(i, modes):
            product = spectrum[i] * spectrum[k].conj()
            if disc_radius_per_angstrom > 0.0:
                product = fft.fft2(fft.ifft2(product) * damping)
            window = product[np.ix_(index, index)]
            if i == k:
                diagonal.append(window.real)
            else:
                real.append(2.0 * window.real)
                imaginary.append(-2.0 * window.imag)
    return np.stack(diagonal + real + imaginary)


def spot_coefficients(density: Complex) -> Floats:
    """(N, modes²) coefficients of the templates for ρ (N, modes, modes): diagonal, real, imaginary parts above it."""
    modes = density.shape[1]
    row, column = np.triu_indices(modes, 1)
    upper = density[:, row, column]
    diagonal = np.arange(modes)
    return np.concatenate([density[:, diagonal, diagonal].real, upper.real, upper.imag], axis=1)


def _disc_transform(n: int, pixel_angstrom: float, radius: float) -> Floats:
    """Fourier transform of a uniform disc of unit weight in q, on the unshifted real-space grid (n, n)."""
    r = fft.fftfreq(n, 1.0 / (n * pixel_angstrom))
    x = 2 * np.pi * radius * np.hypot(r[:, None], r[None, :])
    x[0, 0] = 1.0
    out = 2.0 * j1(x) / x if radius > 0.0 else np.ones((n, n))
    out[0, 0] = 1.0
    return np.asarray(out, dtype=np.float32)


def binned(x: Floats, w: Floats) -> tuple[Floats, Floats]:
    """Samples in [0, 1] gathered in narrow bins at their mean; exact in weight and mean, 1e-7 in the spread."""
    if x.size <= 4 * _BINS:
        return x, w
    index = np.minimum((x * _BINS).astype(np.int64), _BINS - 1)
    weight = np.asarray(np.bincount(index, weights=w, minlength=_BINS), dtype=np.float64)
    first = np.asarray(np.bincount(index, weights=w * x, minlength=_BINS), dtype=np.float64)
    used = weight > 0.0
    return first[used] / weight[used], weight[used]


def _recurrence(x: Floats, w: Floats, nodes: int) -> tuple[Floats, Floats]:
    """Stieltjes' procedure on a discrete measure, orthogonalised twice; stops when the measure is used up."""
    total = float(w.sum())
    off = [np.sqrt(total)]
    basis = [np.sqrt(w / total)]
    diagonal: list[float] = []
    while True:
        v = x * basis[-1]
        diagonal.append(float(v @ basis[-1]))
        if len(diagonal) == nodes:
            break
        known = np.stack(basis)
        v = v - known.T @ (known @ v)
        v = v - known.T @ (known @ v)
        size = float(np.linalg.norm(v))
        if size < 1e-10:
            break
        off.append(size)
        basis.append(v / size)
    return np.array(diagonal), np.array(off)


def _evaluate(x: Floats, diagonal: Floats, off_diagonal: Floats, count: int) -> Floats:
    """p_0 … p_{count−1} at x (n,); (count, n)."""
    out = np.zeros((count, x.size))
    out[0] = 1.0 / off_diagonal[0]
    for k in range(1, min(count, diagonal.size)):
        out[k] = (x - diagonal[k - 1]) * out[k - 1]
        if k > 1:
            out[k] -= off_diagonal[k - 1] * out[k - 2]
        out[k] /= off_diagonal[k]
    return out
