"""Maps x1 = W x2 + w that take one space group (in any setting) onto the other: lattice matches and origin shifts.

All coordinates are primitive, so that lattice translations are integers. The origin shifts follow from the Smith normal
form of the stacked R - I: exact, for all 230 groups in all settings, with the polar directions as the free part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.physics.integers import smith_normal_form
from twin.physics.lattice import Floats, Ints
from validation.compare.frame import Frame

LENGTH_TOLERANCE = 0.25  # relative, of basis vectors that may correspond
COSINE_TOLERANCE = 0.35


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shifts:
    """Origin shifts w: discrete ones (n, 3), and the free (polar) directions as columns of an integer basis (3, k).

    inverse_rows: (k, 3) rows that read the free coordinates off a shift.
    """

    discrete: Floats
    free: Ints
    inverse_rows: Ints


def lattice_strain(direct1: Floats, direct2: Floats) -> float:
    """S = (1/3) sqrt(sum eta_i^2), eta the eigenvalues of the finite strain (de la Flor et al. 2016, eq. 2)."""
    e = direct1 @ np.linalg.inv(direct2) - np.eye(3)
    strain = 0.5 * (e + e.T + e.T @ e)
    return float(np.sqrt(np.sum(np.linalg.eigvalsh(strain) ** 2)) / 3.0)


def lattice_matches(first: Floats, second: Floats) -> Ints:
    """Integer W, det ±1, with W^T G1 W near G2: (n, 3, 3), for reduced bases given as columns in Å."""
    if not 0.7 < np.linalg.det(first) / np.linalg.det(second) < 1.4:
        return np.zeros((0, 3, 3), dtype=np.int64)
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    cartesian = steps @ first.T
    length = np.linalg.norm(cartesian, axis=1)
    target = np.linalg.norm(second, axis=0)
    unit = second / target
    lists = [np.flatnonzero(np.abs(length - t) < LENGTH_TOLERANCE * t) for t in target]
    i, j, k = (grid.ravel() for grid in np.meshgrid(*lists, indexing="ij"))
    w = np.stack([steps[i], steps[j], steps[k]], axis=-1)
    good = np.abs(np.rint(np.linalg.det(w))) == 1 if len(w) else np.zeros(0, dtype=bool)
    for p, q, left, right in ((0, 1, i, j), (0, 2, i, k), (1, 2, j, k)):
        cosine = np.sum(cartesian[left] * cartesian[right], axis=1) / (length[left] * length[right])
        good &= np.abs(cosine - unit[:, p] @ unit[:, q]) < COSINE_TOLERANCE
    return np.asarray(w[good], dtype=np.int64)


def origin_shifts(first: Frame, second: Frame, w: Ints) -> Shifts | None:
    """All shifts with which W maps group 2 onto group 1; None when W does not.

    (W, w)(R2, t2)(W, w)^-1 = (R1, W t2 + (I - R1) w) must equal (R1, t1) modulo the lattice.
    """
    inverse = np.rint(np.linalg.inv(w)).astype(np.int64)
    turned = w @ second.rotations @ inverse
    lookup = {r.tobytes(): i for i, r in enumerate(np.ascontiguousarray(first.rotations))}
    partner = [lookup.get(np.ascontiguousarray(r).tobytes()) for r in turned]
    if len(first.rotations) != len(turned) or any(p is None for p in partner):
        return None
    order = np.array(partner, dtype=np.int64)
    need = first.translations[order] - second.translations @ w.T
    m = (np.eye(3, dtype=np.int64) - turned).reshape(-1, 3)
    system = smith_normal_form(m)
    u, v, diagonal, rank = system.left, system.right, system.diagonal, system.rank
    rhs = u @ need.reshape(-1)
    rest = rhs[rank:]
    if np.any(np.abs(rest - np.round(rest)) > 1e-4 * np.maximum(1.0, np.abs(u[rank:]).sum(axis=1))):
        return None
    axes = [(rhs[k] + np.arange(abs(diagonal[k]))) / diagonal[k] if k < rank else np.zeros(1) for k in range(3)]
    y = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    rows = np.rint(np.linalg.inv(v)).astype(np.int64)
    return Shifts(discrete=np.asarray((y @ v.T) % 1.0, dtype=np.float64), free=system.free, inverse_rows=rows[rank:])


def distinct_matches(first: Frame, matches: Ints) -> Ints:
    """One W of each coset of the point group of structure 1: R W maps as well as W."""
    kept: dict[bytes, Ints] = {}
    for w in matches:
        equivalents = np.ascontiguousarray(first.point_group @ w)
        if not any(e.tobytes() in kept for e in equivalents):
            kept[np.ascontiguousarray(w).tobytes()] = w
    return np.stack(list(kept.values())) if kept else np.zeros((0, 3, 3), dtype=np.int64)
