"""Rational positions of a reciprocal cell, the lattices that they generate, and what those make equal."""

from __future__ import annotations

from itertools import product
from math import gcd

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LARGEST_DENOMINATOR = 6
DENOMINATOR = 60  # common to all positions


def rational_positions(largest: int = LARGEST_DENOMINATOR) -> Floats:
    """p/n in [0, 1)³ for n = 2 to ``largest``, one of each pair ±, 000 left out; (m, 3), small denominators first."""
    seen: dict[tuple[tuple[int, int], ...], tuple[float, ...]] = {}
    for n in range(2, largest + 1):
        for p in product(range(n), repeat=3):
            here, there = _key(p, n), _key(tuple(-v % n for v in p), n)
            if any(p) and here not in seen and there not in seen:
                seen[here] = tuple(v / n for v in p)
    return np.array(list(seen.values()))


def _key(p: tuple[int, ...], n: int) -> tuple[tuple[int, int], ...]:
    return tuple((v // gcd(v, n), n // gcd(v, n)) for v in p)


def classes(offsets: Floats, basis: Ints) -> tuple[Ints, Ints]:
    """Number of the class of each offset modulo the lattice ``basis`` / DENOMINATOR (± are one), 0 for the lattice
    itself; and the sizes of the classes."""
    scale = abs(round(float(np.linalg.det(basis))))
    inverse = np.rint(np.linalg.inv(basis) * scale).astype(np.int64)
    whole = np.rint(offsets * DENOMINATOR).astype(np.int64)
    here, there = (whole @ inverse) % scale, (-whole @ inverse) % scale
    swap = [tuple(b) < tuple(a) for a, b in zip(here.tolist(), there.tolist(), strict=True)]
    key = np.where(np.array(swap)[:, None], there, here)
    _, first, number = np.unique(key, axis=0, return_index=True, return_inverse=True)
    number = np.asarray(number).reshape(-1)
    if number[0] != 0:
        raise AssertionError("the first offset is 000, whose key is the smallest")
    return number, np.bincount(number, minlength=len(first))


def generated(basis: Ints, denominator: int) -> Ints:
    """Rows of a basis (3, 3) of the lattice that the integer rows ``basis`` (m, 3) and denominator · Z³ generate."""
    rows = [r.copy() for r in np.concatenate([np.asarray(basis, dtype=np.int64), denominator * np.eye(3, dtype=int)])]
    out = []
    for column in range(3):
        while True:
            live = [r for r in rows if r[column] != 0]
            if len(live) <= 1:
                break
            small = min(live, key=lambda r: abs(int(r[column])))
            rows = [r if r is small else r - small * (r[column] // small[column]) for r in rows]
        pivot = live[0]
        rows = [r for r in rows if r is not pivot]
        out.append(pivot)
    return np.array(out)


def index_of(basis: Ints) -> int:
    """How many times larger the direct cell of the lattice ``basis`` / DENOMINATOR is."""
    return round(DENOMINATOR**3 / abs(float(np.linalg.det(basis))))
