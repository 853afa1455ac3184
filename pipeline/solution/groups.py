"""Space groups and origins that the phases support, over all settings of the tables that lattice and Laue class allow.

F(hR) = F(h) exp(−2πi h·t) holds for every operation (R, t) of the true group. Each rotation's translation t is a peak
of the map Σ |F(h)F(hR)| exp(i[φ(hR) − φ(h) + 2π h·t]) (Palatinus & van der Lee, J. Appl. Cryst. 41 (2008) 975; van der
Lee, J. Appl. Cryst. 46 (2013) 1306). For every setting the origin w follows from (I − R) w ≡ t − t₀.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from scipy.ndimage import map_coordinates

from pipeline.solution.flipping import Complexes, Grid, density, make_grid
from pipeline.solution.peaks import local_maxima
from pipeline.solution.spots import CENTRINGS
from twin.physics.integers import Congruences, smith_normal_form, solve_congruences
from twin.physics.lattice import Floats, Ints
from twin.physics.symmetry import centring_vectors, point_rotations, primitive_operations

PEAKS = 4  # translations kept for each rotation
STRONGEST = 700  # reflections that score a candidate
MAP_LIMIT_PER_ANGSTROM = 1.25
ROUGH_AGREEMENT = 0.25
CLEARLY, MOST_INDEX = 0.2, 4  # better agreement of a group whose order is at least a fourth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setting:
    """One tabulated setting in primitive coordinates. rotations (n, 3, 3), translations (n, 3), one per rotation."""

    hall: str
    name: str
    number: int
    centric: bool
    rotations: Ints
    translations: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A setting with its origin w (conventional coordinates; x_group = x − w).

    agreement: the worst operation's mean cos Δφ (1: perfect, 0: none); phi: the worst φ_sym (0 perfect, 1 random).
    """

    setting: Setting
    origin: Floats
    agreement: float
    mean_agreement: float
    phi: float

    @property
    def order(self) -> int:
        return len(self.setting.rotations)


def primitive_basis(centring: str) -> Floats:
    """Columns: primitive vectors in conventional coordinates."""
    bases = {
        "P": [(1, 0, 0), (0, 1, 0), (0, 0, 1)],
        "A": [(1, 0, 0), (0, 0.5, -0.5), (0, 0.5, 0.5)],
        "B": [(0.5, 0, -0.5), (0, 1, 0), (0.5, 0, 0.5)],
        "C": [(0.5, -0.5, 0), (0.5, 0.5, 0), (0, 0, 1)],
        "I": [(-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5)],
        "F": [(0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)],
        "R": [(2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)],
        "S": [(1 / 3, 2 / 3, 1 / 3), (-2 / 3, -1 / 3, 1 / 3), (1 / 3, -1 / 3, 1 / 3)],
    }
    return np.array(bases[centring], dtype=np.float64).T


def _same_centring(hall: str, centring: str) -> bool:
    wanted = {(0.0, 0.0, 0.0), *CENTRINGS[centring]}
    found = centring_vectors(hall)
    return len(found) == len(wanted) and all(
        any(np.allclose((v - np.array(w) + 0.5) % 1.0, 0.5, atol=1e-4) for w in wanted) for v in found
    )


@lru_cache(maxsize=64)
def settings(laue: str, centring: str) -> tuple[Setting, ...]:
    """Every setting of gemmi's tables with this Laue class (in these axes) and lattice type, highest order first.

    Of settings that differ by the choice of the origin alone the one of the International Tables is taken, and of
    their two choices that at the centre of inversion.
    """
    wanted = {r.tobytes() for r in np.ascontiguousarray(point_rotations(laue, friedel=True))}
    basis = primitive_basis(centring)
    inverse = np.linalg.inv(basis)
    found: dict[str, Setting] = {}
    tabulated = {str(group.hall) for group in gemmi.spacegroup_table_itb()}
    names = {str(group.xhm()) for group in gemmi.spacegroup_table_itb()}
    for group in gemmi.spacegroup_table():  # those of the International Tables come first
        if str(group.xhm()).endswith(":1") and str(group.xhm())[:-1] + "2" in names:
            continue
        laue_rotations = {r.tobytes() for r in np.ascontiguousarray(point_rotations(group.hall, friedel=True))}
        if laue_rotations != wanted or group.hall in found or not _same_centring(group.hall, centring):
            continue
        if str(group.hall) not in tabulated and any(s.number == group.number for s in found.values()):
            continue
        ops = primitive_operations(group.hall)
        found[group.hall] = Setting(
            hall=str(group.hall), name=str(group.xhm()), number=int(group.number),
            centric=bool(group.is_centrosymmetric()),
            rotations=np.rint(inverse @ ops.rotations @ basis).astype(np.int64),
            translations=(ops.translations @ inverse.T) % 1.0,
        )  # fmt: skip
    return tuple(sorted(found.values(), key=lambda s: (-len(s.rotations), s.number)))


class PhaseMap:
    """Translation maps of one phase set, rotation by rotation, computed when first asked for."""

    def __init__(self, *, hkl: Ints, f: Complexes, g: Floats) -> None:
        self._lookup, self._base = _table(hkl, f)
        keep = np.flatnonzero((np.abs(f) > 0) & (g <= MAP_LIMIT_PER_ANGSTROM))
        self.hkl, self.f = hkl[keep], f[keep]
        self._grid: Grid = make_grid(self.hkl, oversampling=1.8)
        self._strong = np.argsort(-np.abs(self.f), kind="stable")[:STRONGEST]
        self._maps: dict[bytes, tuple[Floats, Floats]] = {}

    def product(self, rotation: Ints, hkl: Ints, f: Complexes) -> Complexes:
        """conj(F(h)) F(hR), magnitude |F(h)|² where both are known, 0 elsewhere."""
        turned = hkl @ rotation
        n = self._base
        inside = np.all(np.abs(turned) <= n, axis=1)
        index = np.clip(turned + n, 0, 2 * n)
        other = np.where(inside, self._lookup[index[:, 0], index[:, 1], index[:, 2]], 0.0)
        return np.asarray(np.conj(f) * other)

    def peaks(self, rotation: Ints) -> tuple[Floats, Floats]:
        """(map, peaks): the translation map normalised to 1 at best, and its highest peaks (k, 3)."""
        key = np.ascontiguousarray(rotation).tobytes()
        if key not in self._maps:
            c = self.product(rotation, self.hkl, self.f)
            total = 2.0 * max(float(np.abs(c).sum()), 1e-30)
            # density() has exp(−2πi h·t): pass the conjugate to have the sign that the definition asks for
            rho = density(self._grid, np.conj(c)) / total
            position, height = local_maxima(rho, count=PEAKS)
            self._maps[key] = (rho, position[height > 0.2] / np.array(rho.shape))
        return self._maps[key]

    def rough(self, rotation: Ints, t: Floats) -> Floats:
        """Map value at translations (n, 3) by linear interpolation."""
        rho, _ = self.peaks(rotation)
        at = (t % 1.0) * np.array(rho.shape)
        return np.asarray(map_coordinates(rho, at.T, order=1, mode="grid-wrap"))

    def exact(self, rotations: Ints, translations: Floats) -> tuple[Floats, Floats]:
        """(mean cos Δφ, φ_sym) of each operation (n,), from the strongest reflections."""
        hkl, f = self.hkl[self._strong], self.f[self._strong]
        cosine, phi = np.zeros(len(rotations)), np.ones(len(rotations))
        for k, (rotation, t) in enumerate(zip(rotations, translations, strict=True)):
            c = self.product(rotation, hkl, f)
            w = np.abs(c)
            total = float(w.sum())
            if total <= 0.0:
                cosine[k], phi[k] = 1.0, 0.0
                continue
            angle = np.angle(c * np.exp(2j * np.pi * (hkl @ t)))
            cosine[k] = float(w @ np.cos(angle)) / total
            phi[k] = float(w @ angle**2) / (total * np.pi**2 / 3.0)
        return cosine, phi


def _table(hkl: Ints, f: Complexes) -> tuple[Complexes, int]:
    base = int(np.abs(hkl).max())
    table = np.zeros((2 * base + 1,) * 3, dtype=np.complex128)
    a, b = hkl + base, -hkl + base
    table[a[:, 0], a[:, 1], a[:, 2]] = f
    table[b[:, 0], b[:, 1], b[:, 2]] = np.conj(f)
    return table, base


@lru_cache(maxsize=256)
def _generators(rotations: bytes, count: int) -> tuple[tuple[int, ...], Congruences]:
    """A few operations that generate all the rotations, and their stacked I − R."""
    matrices = np.frombuffer(rotations, dtype=np.int64).reshape(count, 3, 3)
    chosen: list[int] = []
    reached = {np.eye(3, dtype=np.int64).tobytes()}
    order = sorted(range(count), key=lambda i: (-_order_of(matrices[i]), i))
    inversion = [i for i in order if np.array_equal(matrices[i], -np.eye(3, dtype=np.int64))]
    for i in [*inversion, *order]:
        if matrices[i].tobytes() in reached:
            continue
        chosen.append(i)
        reached = _closure([matrices[j] for j in chosen])
        if len(reached) == count:
            break
    stacked = (np.eye(3, dtype=np.int64) - matrices[chosen]).reshape(-1, 3) if chosen else np.zeros((3, 3), np.int64)
    return tuple(chosen), smith_normal_form(stacked)


def _order_of(rotation: Ints) -> int:
    power = rotation
    for n in range(1, 7):
        if np.array_equal(power, np.eye(3, dtype=np.int64)):
            return n
        power = power @ rotation
    return 6


def _closure(generators: list[Ints]) -> set[bytes]:
    found = {np.eye(3, dtype=np.int64).tobytes(): np.eye(3, dtype=np.int64)}
    frontier = list(found.values())
    while frontier:
        fresh = []
        for a, b in itertools.product(frontier, generators):
            c = a @ b
            if c.tobytes() not in found:
                found[c.tobytes()] = c
                fresh.append(c)
        frontier = fresh
    return set(found)


def _origins(setting: Setting, phases: PhaseMap) -> Floats:
    """Origins at which the generators meet peaks of their maps; (n, 3)."""
    chosen, system = _generators(np.ascontiguousarray(setting.rotations).tobytes(), len(setting.rotations))
    if not chosen:
        return np.zeros((1, 3))
    lists = [phases.peaks(setting.rotations[i])[1] for i in chosen]
    if any(len(peaks) == 0 for peaks in lists):
        return np.zeros((0, 3))
    need = np.array([
        np.concatenate([t - setting.translations[i] for t, i in zip(combination, chosen, strict=True)])
        for combination in itertools.product(*lists)
    ])  # fmt: skip
    return solve_congruences(system, need, tolerance=0.15)[0]


def _refine_origin(setting: Setting, phases: PhaseMap, w: Floats, step: float) -> Floats:
    """Climb to the best mean cos Δφ by a shrinking pattern search."""
    moves = np.stack(np.meshgrid(*[np.array([-1.0, 0.0, 1.0])] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    for _ in range(4):
        trials = w + step * moves
        total = np.zeros(len(trials))
        for rotation, t in zip(setting.rotations, setting.translations, strict=True):
            total += phases.rough(rotation, t + trials @ (np.eye(3) - rotation).T)
        w, step = trials[int(np.argmax(total))], step * 0.5
    return w


def _apart(trials: Floats, order: Ints) -> list[int]:
    """At most three of the trials that are not the same origin."""
    kept: list[int] = []
    for k in order:
        difference = trials[kept] - trials[k]
        if not kept or np.abs(difference - np.round(difference)).max(axis=1).min() > 0.06:
            kept.append(int(k))
    return kept[:3]


def _candidate(setting: Setting, phases: PhaseMap, trial: Floats, basis: Floats) -> Candidate:
    w = _refine_origin(setting, phases, trial, 0.02)
    shifts = setting.translations + (np.eye(3) - setting.rotations) @ w
    cosine, phi = phases.exact(setting.rotations, shifts)
    return Candidate(setting=setting, origin=(basis @ w) % 1.0, agreement=float(cosine.min()),
                     mean_agreement=float(cosine.mean()), phi=float(phi.max()))  # fmt: skip


def rank_groups(
    *, phases: PhaseMap, laue: str, centring: str, agreement_limit: float, keep: int = 12
) -> tuple[Candidate, ...]:
    """Settings whose operations all agree with the phases, highest order first, then by agreement.

    Those that groups of lower order outdo come after these: a model in them would pass for one of pseudo-symmetry.

    ``phases`` is in primitive indices. Candidates with agreement ≥ 0.6 of the limit are listed for the record; the
    caller accepts those above ``agreement_limit``.
    """
    basis = primitive_basis(centring)
    found: list[Candidate] = []
    for setting in settings(laue, centring):
        if any(phases.peaks(r)[0].max() < ROUGH_AGREEMENT for r in setting.rotations[1:]):
            continue
        trials = _origins(setting, phases)
        if len(trials) == 0:
            continue
        scores = np.stack([
            phases.rough(r, t + trials @ (np.eye(3) - r).T)
            for r, t in zip(setting.rotations, setting.translations, strict=True)
        ])  # fmt: skip
        means = scores.mean(axis=0)
        order = np.argsort(-means, kind="stable")
        order = order[means[order] > means[order[0]] - 0.05][:8]
        if len(scores) > 1 and scores[1:, order].min(axis=0).max() < ROUGH_AGREEMENT:
            continue
        found.append(max((_candidate(setting, phases, trials[k], basis) for k in _apart(trials, order)),
                         key=lambda c: c.agreement))  # fmt: skip
    found = [c for c in found if c.agreement >= 0.6 * agreement_limit]
    ranked = sorted(found, key=lambda c: (c.agreement < agreement_limit, _outdone(c, found), -c.order,
                                          -c.mean_agreement))  # fmt: skip
    return tuple(ranked[:keep])


def _outdone(candidate: Candidate, others: list[Candidate]) -> bool:
    """Whether a group of not much lower order agrees clearly better: a part of the operations is pseudo-symmetry."""
    return any(
        c.agreement > candidate.agreement + CLEARLY
        for c in others
        if 1 < c.order < candidate.order <= MOST_INDEX * c.order
    )
