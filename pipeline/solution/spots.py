"""From merged reflections to normalised amplitudes over the whole sphere, in P1.

E = √(I / <I>) with <I> from resolution shells (Wilson, Acta Cryst. 2 (1949) 318), interpolated in |g|.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.types import MergedReflections
from twin.model.crystal import Cell
from twin.physics.lattice import Floats, Ints, miller_indices, reciprocal_matrix
from twin.physics.symmetry import point_rotations

Bools = NDArray[np.bool_]
SHELLS = 12
CENTRINGS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "P": (),
    "A": ((0, 0.5, 0.5),),
    "B": ((0.5, 0, 0.5),),
    "C": ((0.5, 0.5, 0),),
    "I": ((0.5, 0.5, 0.5),),
    "R": ((2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)),
    "S": ((1 / 3, 2 / 3, 1 / 3), (2 / 3, 1 / 3, 2 / 3)),
    "F": ((0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)),
}
ABSENT_RATIO = 0.12  # mean normalised intensity of a forbidden class that multiple scattering may reach
REST_RATIO, REST_FACTOR = 0.03, 2.0  # of what a larger type forbids besides: this, or so many times the other's
FLAT_MOMENT, WILSON_MOMENT = 1.8, 2.0  # <I²>/<I>²: 2 without a centre of inversion, 3 with one (Wilson 1949)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spots:
    """Half a sphere of reflections in P1 (one of each Friedel pair), in conventional indices.

    hkl (n, 3); g (n,) Å⁻¹; intensity (n,), zero where not measured; e (n,) normalised amplitudes; measured (n,).
    level (n,): rms amplitude at that |g|, that of all measured ones as the unit. unique (n,): the Laue class's
    equivalents share a number. centring: lattice type found from the absences.
    raw (n,): intensities as measured. exponent: ``intensity`` and ``e`` come from raw intensities raised to it, see
    :func:`stretching_exponent`: good enough for phases, not the truth about the data.
    """

    cell: Cell
    laue: str
    hkl: Ints
    g: Floats
    intensity: Floats
    e: Floats
    level: Floats
    measured: Bools
    unique: Ints
    centring: str
    g_max_per_angstrom: float
    raw: Floats
    exponent: float = 1.0


def _canonical(hkl: Ints, rotations: Ints) -> tuple[Ints, int]:
    """Number that all equivalents of a reflection share, for -N..N indices."""
    base = 2 * int(np.abs(hkl).max(initial=1)) * 2 + 1
    turned = np.einsum("ni,kij->nkj", hkl, rotations)
    offset = base // 2
    key = ((turned[..., 0] + offset) * base + turned[..., 1] + offset) * base + turned[..., 2] + offset
    return np.asarray(key.max(axis=1), dtype=np.int64), base


def _shell_means(g: Floats, intensity: Floats, at: Floats) -> Floats:
    """<I> interpolated (in log) over shells with equal numbers of reflections."""
    order = np.argsort(g)
    parts = [p for p in np.array_split(order, max(1, min(SHELLS, len(g) // 25))) if len(p)]
    centres = np.array([g[p].mean() for p in parts])
    floor = 1e-4 * max(float(intensity.mean()), 1e-30)
    means = np.array([max(float(intensity[p].mean()), floor) for p in parts])
    return np.asarray(np.exp(np.interp(at, centres, np.log(means))))


def _half(hkl: Ints) -> Bools:
    h, k, ell = hkl.T
    return np.asarray((ell > 0) | ((ell == 0) & ((k > 0) | ((k == 0) & (h > 0)))))


def centring_allows(hkl: Ints, centring: str) -> Bools:
    """True where the lattice type lets a reflection exist."""
    allowed = np.ones(len(hkl), dtype=bool)
    for vector in CENTRINGS[centring]:
        phase = hkl @ np.array(vector)
        allowed &= np.abs(phase - np.round(phase)) < 1e-6
    return allowed


def find_centring(hkl: Ints, e_squared: Floats) -> str:
    """Lattice type with the most forbidden reflections among those whose forbidden class is dark.

    Judged by mean normalised intensities (ratios within shells), never by significance. A type that forbids all that
    another one does and more (F beside C) must leave the rest as dark as that one's: else it is pseudo-translation.
    """
    found: dict[str, NDArray[np.bool_]] = {}
    for name in CENTRINGS:
        absent = ~centring_allows(hkl, name)
        if int(absent.sum()) >= 8 and _ratio(e_squared, absent, ~absent) < ABSENT_RATIO:
            found[name] = absent
    kept = {
        name: int(absent.sum())
        for name, absent in found.items()
        if all(
            _ratio(e_squared, absent & ~part, ~absent)
            <= max(REST_RATIO, REST_FACTOR * _ratio(e_squared, part, ~absent))
            for part in found.values()
            if part.sum() < absent.sum() and not np.any(part & ~absent)
        )
    }
    return max(kept, key=lambda name: kept[name], default="P")


def _ratio(e_squared: Floats, of: Bools, to: Bools) -> float:
    return float(e_squared[of].mean()) / max(float(e_squared[to].mean()), 1e-12) if of.any() else 0.0


def unlisted_centring(hkl: Ints, measured: Bools) -> str:
    """Lattice type whose forbidden reflections were all left out of a list that holds most of the allowed ones.

    A reduction that took the lattice as centred does not list what the centring forbids.
    """
    best, absent_best = "P", 0
    for name in CENTRINGS:
        allowed = centring_allows(hkl, name)
        absent = int((~allowed).sum())
        if absent > max(absent_best, 7) and not measured[~allowed].any() and measured[allowed].mean() > 0.3:
            best, absent_best = name, absent
    return best


def stretching_exponent(e_squared: Floats) -> float:
    """Exponent q ≥ 1 that gives intensities the second moment of Wilson's distribution, 1 where they have it.

    <I²>/<I>² is 2 for kinematical intensities without a centre of inversion and larger otherwise. Multiple scattering
    compresses the strong reflections: a moment below that cannot be kinematical, and I^q undoes it in part.
    """
    i = np.maximum(e_squared, 1e-9)

    def moment(q: float) -> float:
        return float(np.mean(i ** (2 * q)) / np.mean(i**q) ** 2)

    if len(i) < 30 or moment(1.0) >= FLAT_MOMENT:
        return 1.0
    low, high = 1.0, 2.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if moment(middle) < WILSON_MOMENT else (low, middle)
    return high


def prepare(*, merged: MergedReflections, cell: Cell, g_max_per_angstrom: float | None = None) -> Spots:
    """Fill by the Laue symmetry, expand to P1, normalise; reflections inside the sphere that nobody measured float."""
    b = reciprocal_matrix(cell)
    length = np.linalg.norm(merged.hkl @ b.T, axis=1)
    good = np.isfinite(merged.intensity) & (length > 0)
    limit = min(float(length[good].max(initial=0.0)), g_max_per_angstrom or np.inf) + 1e-6
    good &= length <= limit
    if int(good.sum()) < 10:
        raise ValueError(f"structure solution needs at least 10 reflections, got {int(good.sum())}")
    rotations = point_rotations(merged.hall, friedel=True)
    sphere = miller_indices(reciprocal=b, g_max_per_angstrom=limit)[1:]
    sphere = sphere[_half(sphere)]
    both = np.concatenate([sphere, merged.hkl[good]])
    key, _ = _canonical(both, rotations)
    _, number = np.unique(key, return_inverse=True)
    unique, seen = number[: len(sphere)], number[len(sphere) :]
    groups = int(number.max()) + 1
    weight = np.maximum(merged.multiplicity[good].astype(np.float64), 1.0)
    total, norm = np.zeros(groups), np.zeros(groups)
    np.add.at(total, seen, weight * np.maximum(merged.intensity[good], 0.0))
    np.add.at(norm, seen, weight)
    measured = norm[unique] > 0
    intensity = np.where(measured, total[unique] / np.maximum(norm[unique], 1e-30), 0.0)
    g = np.linalg.norm(sphere @ b.T, axis=1)
    raw = intensity / _shell_means(g[measured], intensity[measured], g)
    centring = unlisted_centring(sphere, measured)
    if centring == "P":
        centring = find_centring(sphere[measured], raw[measured])
    allowed = centring_allows(sphere, centring)
    use = measured & allowed
    exponent = stretching_exponent(intensity[use] / _shell_means(g[use], intensity[use], g[use]))
    raw, intensity = intensity, intensity**exponent
    means = _shell_means(g[use], intensity[use], g)
    e = np.sqrt(np.where(use, intensity / means, 0.0))
    level = np.sqrt(means / max(float(intensity[use].mean()), 1e-30))
    return Spots(
        cell=cell, laue=merged.hall, hkl=sphere[allowed], g=g[allowed], intensity=intensity[allowed],
        e=np.minimum(e[allowed], 5.0), level=level[allowed], measured=measured[allowed],
        unique=unique[allowed], centring=centring,
        g_max_per_angstrom=float(limit), raw=raw[allowed], exponent=exponent,
    )  # fmt: skip
