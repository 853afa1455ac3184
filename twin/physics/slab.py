"""The operator of a frame: one off-diagonal matrix and a diagonal for each orientation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.physics.bounds import frame_spectra, hermitian_bounds
from twin.physics.chebyshev import Spectrum
from twin.physics.lattice import Floats

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slab:
    """iτ (W_s U + D_s) is the exponent at orientation s, on its active beams.

    With surface factors M = diag(1 + g_n/K_n)^(−1/2) the flux amplitudes ψ obey M (2K s + U) M. The amplitudes Mψ are
    propagated here: they obey M² (2K s + U), so that U stays shared. W = M² K̄_n/K_n, D = 2K s W.

    matrix: (N, N) U, real and symmetric when it can be, else complex; transposed: its transpose. diagonal: (N, S) D in
    Å⁻². weight, root: (N, S) W and M, None for ones. active: (N, S) bool or None. spectra: bounds for all orientations,
    in the order of trial.
    unit: τ/t = π / K̄_n in Å.
    """

    matrix: Array
    transposed: Array
    diagonal: Floats
    weight: Floats | None
    root: Floats | None
    active: NDArray[np.bool_] | None
    spectra: tuple[Spectrum, ...]
    unit: float


def prepare_slab(
    *,
    potential: ArrayLike,
    excitation_error: ArrayLike,
    wavenumber_per_angstrom: float,
    normal_cosine_ratio: ArrayLike | None = None,
    normal_wavenumber_per_angstrom: ArrayLike | None = None,
    active: ArrayLike | None = None,
) -> Slab:
    """Build the operator. See :func:`twin.physics.propagation.propagate` for the arguments."""
    u = np.asarray(potential)
    if u.dtype != np.float32:
        u = u.astype(np.complex128 if np.iscomplexobj(u) else np.float64, copy=False)
    s = np.atleast_2d(np.asarray(excitation_error, dtype=np.float64))
    n = u.shape[0]
    if u.shape != (n, n) or s.shape[0] != n:
        raise ValueError(f"potential {u.shape} must be square and match the rows of excitation_error {s.shape}")
    if not np.isfinite(u[0].sum() + s.sum()):  # elsewhere in the matrix the recurrence finds them
        raise ValueError("potential and excitation_error must be finite")
    if not np.iscomplexobj(u) and np.abs(u[0] - u[:, 0]).max() > 1e-5 * np.abs(u[0]).max():
        raise ValueError("a real potential must be symmetric: U_{g-h} = U_{h-g}")
    u, hermitian, absorption = _split(u)
    k_n = np.asarray(
        wavenumber_per_angstrom if normal_wavenumber_per_angstrom is None else normal_wavenumber_per_angstrom,
        dtype=np.float64,
    ).ravel()
    mean = float(k_n.mean())
    mask = None if active is None else _with_direct_beam(np.asarray(active, dtype=bool))
    weight, root, diagonal = _surface(normal_cosine_ratio, mean / k_n, 2.0 * wavenumber_per_angstrom, s, mask)
    if weight is not None:
        most = float(weight.max())
        absorption = (min(absorption[0], most * absorption[0]), max(absorption[1], most * absorption[1]))
    return Slab(
        matrix=u,
        transposed=np.ascontiguousarray(u.T if np.iscomplexobj(u) else u),
        diagonal=diagonal,
        weight=weight,
        root=root,
        active=mask,
        spectra=frame_spectra(
            hermitian=hermitian, diagonal=diagonal, weight=weight, active=mask, absorption=absorption
        ),
        unit=float(np.pi / mean),
    )


def _surface(
    ratio: ArrayLike | None, share: Floats, two_k: float, excitation_error: Floats, active: NDArray[np.bool_] | None
) -> tuple[Floats | None, Floats | None, Floats]:
    """(W, M, D), all (N, S); W and M are None without a tilted surface. share: K̄_n/K_n, (S,) or (1,).

    Beams that are not active have ones and zero there.
    """
    if ratio is None and np.all(share == 1.0):
        return None, None, two_k * excitation_error
    shape = excitation_error.shape
    values = np.zeros((1, 1)) if ratio is None else np.asarray(ratio, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    full = np.ascontiguousarray(values if values.shape == shape else np.broadcast_to(values, shape))
    shares = np.ascontiguousarray(np.broadcast_to(share, shape[1:]))
    weight, root, diagonal = np.empty(shape), np.empty(shape), np.empty(shape)
    used = np.zeros((0, 0), dtype=bool) if active is None else active
    if not _fill_surface(full, shares, two_k, np.ascontiguousarray(excitation_error), used, weight, root, diagonal):
        raise ValueError("normal_cosine_ratio must exceed -1: a beam would leave through the entrance face")
    return weight, root, diagonal


@numba.njit(cache=True)
def _fill_surface(
    ratio: Floats,
    share: Floats,
    two_k: float,
    excitation_error: Floats,
    active: NDArray[np.bool_],
    weight: Floats,
    root: Floats,
    diagonal: Floats,
) -> bool:
    """W = share / (1 + g_n/K_n), M = (1 + g_n/K_n)^(−1/2), D = 2K s W; whether every ratio exceeds −1."""
    for i in range(ratio.shape[0]):
        for j in range(ratio.shape[1]):
            if active.size > 0 and not active[i, j]:
                weight[i, j], root[i, j], diagonal[i, j] = 1.0, 1.0, 0.0
                continue
            factor = 1.0 + ratio[i, j]
            if factor <= 0.0:
                return False
            weight[i, j] = share[j] / factor
            root[i, j] = 1.0 / np.sqrt(factor)
            diagonal[i, j] = two_k * excitation_error[i, j] * weight[i, j]
    return True


def _split(u: Array) -> tuple[Array, Array, tuple[float, float]]:
    """(matrix, its Hermitian part, bounds of the absorptive part), real wherever nothing is lost by it."""
    if not np.iscomplexobj(u):
        return u, u, (0.0, 0.0)
    size = float(np.abs(u).max())
    if float(np.abs(u.imag).max()) <= 1e-13 * size:
        real = np.ascontiguousarray(u.real)
        return real, real, (0.0, 0.0)
    anti = (u - u.conj().T) / 2j
    if float(np.abs(anti).max()) <= 1e-13 * size:
        return u, u, (0.0, 0.0)
    return u, _real_if_close((u + u.conj().T) / 2, size), hermitian_bounds(_real_if_close(anti, size))


def _real_if_close(matrix: Array, size: float) -> Array:
    if np.iscomplexobj(matrix) and float(np.abs(matrix.imag).max()) <= 1e-13 * size:
        return np.ascontiguousarray(matrix.real)
    return matrix


def _with_direct_beam(active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    mask = active.copy()
    mask[0] = True
    return mask
