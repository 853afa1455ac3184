"""The two recurrences of a gradient in reverse, on one block: terms forwards, what depends on them backwards.

States are rows: s of them, or for a complex matrix s real parts and then s imaginary ones. Both recurrences have the
same operator, since it is Hermitian.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from twin.physics.blocks import CHUNK

Array = NDArray[Any]


@numba.njit(cache=True)
def _apply(
    matrix: Array, imaginary: Array, diagonal: Array, mask: Array, now: Array, before: Array, other: Array, out: Array
) -> None:
    """out ← mask · (now @ matrix) + diagonal · now − before; now, before, other, out: flat (r s n,)."""
    s, n = diagonal.shape
    rows = now.size // n
    np.dot(now.reshape(rows, n), matrix, out.reshape(rows, n))
    if rows > s:
        np.dot(now.reshape(rows, n), imaginary, other.reshape(rows, n))
        _mix(diagonal.reshape(-1), mask.reshape(-1), now, before, other, out)
    else:
        _advance(diagonal.reshape(-1), mask.reshape(-1), now, before, out)


@numba.njit(cache=True, fastmath=True)
def _advance(diagonal: Array, mask: Array, now: Array, before: Array, out: Array) -> None:
    for i in range(out.size):
        out[i] = mask[i] * out[i] + diagonal[i] * now[i] - before[i]


@numba.njit(cache=True, fastmath=True)
def _mix(diagonal: Array, mask: Array, now: Array, before: Array, other: Array, out: Array) -> None:
    """As _advance, with ``other`` the product with the imaginary part of the matrix."""
    half = diagonal.size
    for i in range(half):
        j = half + i
        real = mask[i] * (out[i] - other[j]) + diagonal[i] * now[i] - before[i]
        out[j] = mask[i] * (out[j] + other[i]) + diagonal[i] * now[j] - before[j]
        out[i] = real


@numba.njit(cache=True)
def _pick(state: Array, rows: NDArray[np.int64], n: int, out: Array) -> None:
    """Columns ``rows`` (m,) of a flat state (r s n,) into out (r s m,)."""
    m = rows.size
    for i in range(state.size // n):
        for j in range(m):
            out[i * m + j] = state[i * n + rows[j]]


@numba.njit(cache=True)
def _place(values: Array, rows: NDArray[np.int64], n: int, state: Array) -> None:
    """Add values (r s m,) to columns ``rows`` of a flat state (r s n,)."""
    m = rows.size
    for i in range(state.size // n):
        for j in range(m):
            state[i * n + rows[j]] += values[i * m + j]


@numba.njit(cache=True)
def forward(
    matrix: Array,
    imaginary: Array,
    diagonal: Array,
    mask: Array,
    terms: Array,
    count: int,
    weights: Array,
    rows: NDArray[np.int64],
    parts: Array,
) -> None:
    """Fill terms (K, r s n) with T_k e_0, and parts (2, J, r s m) with the sums of even and odd ones at ``rows``.

    weights: (2, J, K / 2 padded) as the recurrence of intensities has them.
    """
    s, n = diagonal.shape
    half, size = CHUNK // 2, terms.shape[1]
    other = np.empty(size if size > s * n else 0, dtype=matrix.dtype)
    terms[0] = 0.0
    terms[1] = 0.0
    for i in range(s):
        terms[0, i * n] = 1.0
        for j in range(n):
            terms[1, i * n + j] = 0.5 * mask[i, j] * matrix[0, j]
            if size > s * n:
                terms[1, (s + i) * n + j] = 0.5 * mask[i, j] * imaginary[0, j]
        terms[1, i * n] += 0.5 * diagonal[i, 0]
    chosen = np.zeros((2, half, parts.shape[2]), dtype=matrix.dtype)
    for c in range(-(-count // CHUNK)):
        chosen[:] = 0.0
        for k in range(c * CHUNK, min(count, (c + 1) * CHUNK)):
            if k >= 2:
                _apply(matrix, imaginary, diagonal, mask, terms[k - 1], terms[k - 2], other, terms[k])
            _pick(terms[k], rows, n, chosen[k % 2, (k % CHUNK) // 2])
        for parity in range(2):
            part = np.ascontiguousarray(weights[parity, :, c * half : (c + 1) * half])
            parts[parity] += np.dot(part, chosen[parity])


@numba.njit(cache=True)
def backward(
    matrix: Array,
    imaginary: Array,
    diagonal: Array,
    mask: Array,
    terms: Array,
    weights: Array,
    rows: NDArray[np.int64],
    seeds: Array,
    square: Array,
    crossed: Array,
    turned: Array,
) -> None:
    """Add Re and Im of Σ_k μ_k* T_{k−1} to square and crossed (n, n), and of the diagonal to turned (s, n).

    seeds (2, J, r s m): what the function depends on of the even and odd sums. The first term of the sum is halved.
    """
    s, n = diagonal.shape
    count, size = terms.shape
    half, twice = CHUNK // 2, terms.shape[1] > s * n
    other = np.empty(size if twice else 0, dtype=matrix.dtype)
    kept = np.zeros((CHUNK + 2, size), dtype=matrix.dtype)  # μ of a chunk, and the two after it
    swapped = np.empty((CHUNK if twice else 0, size), dtype=matrix.dtype)
    asked = np.empty((2, half, seeds.shape[2]), dtype=matrix.dtype)
    for c in range(-(-count // CHUNK) - 1, -1, -1):
        kept[CHUNK : CHUNK + 2] = kept[0:2]
        for parity in range(2):
            part = np.ascontiguousarray(weights[parity, :, c * half : (c + 1) * half].T)
            asked[parity] = np.dot(part, seeds[parity])
        first = max(1, c * CHUNK)
        for k in range((c + 1) * CHUNK - 1, first - 1, -1):
            i = k - c * CHUNK
            if k >= count:
                kept[i] = 0.0
                continue
            _apply(matrix, imaginary, diagonal, mask, kept[i + 1], kept[i + 2], other, kept[i])
            _place(asked[k % 2, i // 2], rows, n, kept[i])
        last = min(count, (c + 1) * CHUNK)
        if first == 1 and last > 1:
            kept[1] *= 0.5
        here, there = kept[first - c * CHUNK : last - c * CHUNK], terms[first - 1 : last - 1]
        _sum_products(here, there, n, swapped, square, crossed)
        _sum_diagonals(here, there, turned)


@numba.njit(cache=True)
def _sum_products(mu: Array, terms: Array, n: int, swapped: Array, square: Array, crossed: Array) -> None:
    """square += μᵀ T over all rows; with imaginary parts, crossed += (−Im μ, Re μ)ᵀ T too."""
    if mu.shape[0] == 0:
        return
    flat = terms.reshape(-1, n)
    square += np.dot(mu.reshape(-1, n).T, flat)
    if swapped.shape[0] > 0:
        half = mu.shape[1] // 2
        for k in range(mu.shape[0]):
            swapped[k, :half] = -mu[k, half:]
            swapped[k, half:] = mu[k, :half]
        crossed += np.dot(swapped[: mu.shape[0]].reshape(-1, n).T, flat)


@numba.njit(cache=True, fastmath=True)
def _sum_diagonals(mu: Array, terms: Array, turned: Array) -> None:
    """turned (s, n) += Σ_k Re μ_k* T_k."""
    flat = turned.reshape(-1)
    for k in range(mu.shape[0]):
        for i in range(mu.shape[1]):
            flat[i % flat.size] += mu[k, i] * terms[k, i]
