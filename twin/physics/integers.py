"""Integer matrices: the Smith normal form, and linear equations modulo the lattice, M w ≡ c (mod 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Congruences:
    """U M V = D: ``diagonal`` (k,), ``left`` U (r, r), ``right`` V (k, k); rank: non-zero entries of the diagonal."""

    left: Ints
    right: Ints
    diagonal: Ints

    @property
    def rank(self) -> int:
        return int(np.count_nonzero(self.diagonal))

    @property
    def free(self) -> Ints:
        """Columns: integer directions along which a solution may slide; (k, k - rank)."""
        return self.right[:, self.rank :]


def smith_normal_form(matrix: Ints) -> Congruences:
    """Diagonalise an integer matrix (r, k), r ≥ k, by unimodular row and column operations.

    The divisibility order of the diagonal is not arranged: solving congruences does not need it.
    """
    d = np.array(matrix, dtype=np.int64)
    rows, columns = d.shape
    u, v = np.eye(rows, dtype=np.int64), np.eye(columns, dtype=np.int64)
    for k in range(min(rows, columns)):
        while d[k:, k:].any():
            block = np.abs(d[k:, k:])
            i, j = np.unravel_index(np.argmin(np.where(block > 0, block, np.iinfo(np.int64).max)), block.shape)
            for m in (d, u):
                m[[k, k + int(i)]] = m[[k + int(i), k]]
            for m in (d, v):
                m[:, [k, k + int(j)]] = m[:, [k + int(j), k]]
            down, across = d[k + 1 :, k] // d[k, k], d[k, k + 1 :] // d[k, k]
            u[k + 1 :] -= down[:, None] * u[k]
            d[k + 1 :] -= down[:, None] * d[k]
            v[:, k + 1 :] -= v[:, [k]] * across
            d[:, k + 1 :] -= d[:, [k]] * across
            if not d[k + 1 :, k].any() and not d[k, k + 1 :].any():
                break
    return Congruences(left=u, right=v, diagonal=np.diagonal(d).copy())


def solve_congruences(system: Congruences, rhs: Floats, *, tolerance: float) -> tuple[Floats, Ints]:
    """Solutions w of M w ≡ c (mod 1) for many right-hand sides (n, r), free directions at zero.

    Returns (solutions (m, k), index (m,) of the right-hand side). A right-hand side whose dependent rows miss an
    integer by more than ``tolerance`` (times the row's weight) has none.
    """
    turned = np.atleast_2d(rhs) @ system.left.T
    rank = system.rank
    weight = np.maximum(1.0, np.sqrt(np.sum(system.left[rank:].astype(np.float64) ** 2, axis=1)))
    rest = turned[:, rank:]
    good = np.flatnonzero(np.all(np.abs(rest - np.round(rest)) <= tolerance * weight, axis=1))
    axes = [np.arange(abs(int(d))) for d in system.diagonal[:rank]] + [np.zeros(1, dtype=np.int64)] * (
        len(system.diagonal) - rank
    )
    steps = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(system.diagonal))
    base = np.zeros((len(good), len(system.diagonal)))
    base[:, :rank] = turned[good, :rank]
    divisor = np.where(system.diagonal == 0, 1, system.diagonal)
    y = (base[:, None, :] + steps[None, :, :]) / divisor
    solutions = y.reshape(-1, len(system.diagonal)) @ system.right.T
    return solutions % 1.0, np.repeat(good, len(steps))
