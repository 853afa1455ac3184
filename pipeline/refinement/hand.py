"""Absolute structure: the same frames refined against both hands, and how sure the better one is.

Multiple scattering breaks Friedel's law, so one hand fits better. The two are compared reflection by reflection with
the likelihood ratio of two models that are not nested (Vuong, Econometrica 57 (1989) 307): z = Σ l / √var Σ l with
l = ln p(Δ_given) − ln p(Δ_other), positive when the given hand is the better one. p is Student's t, its width and
freedom those most probable for the residuals √w Δ of each hand (Lange, Little & Taylor, J. Am. Stat. Assoc. 84 (1989)
881): what a dynamical model gets wrong has long tails, and a normal p lets a dozen reflections decide. Residuals of a
frame have errors in common, and so have equivalents: the variance of Σ l is that of its sums over frames and over
unique reflections, never below that of single reflections (see ``pipeline.refinement.uncertainty``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import gemmi
import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from pipeline.refinement.figures import INSTABILITY
from pipeline.refinement.uncertainty import two_way_covariance
from pipeline.types import Refinement
from twin.files.errors import InputError
from twin.model.crystal import Crystal, Site
from twin.physics.lattice import Floats
from twin.physics.symmetry import Operations, asymmetric_hkl, is_centrosymmetric, operations

Z_THAT_DECIDES = 3.0
_FREEDOM = (1.0, 200.0)  # of the t distribution: from Cauchy's to nearly normal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandVerdict:
    """z: how sure, in standard deviations; positive for ``given``. verdict: a sentence."""

    given: Refinement
    other: Refinement
    z: float
    verdict: str


def inverted(crystal: Crystal) -> Crystal:
    """The other hand of a structure, in the space group that goes with it (P 32 2 1 for P 31 2 1)."""
    ops = operations(crystal.hall)
    for shift in product((0.0, 0.5, 0.25, 0.75, 0.125, 0.375), repeat=3):
        centre = np.array(shift)
        group = _group(ops, centre)
        if group is not None:
            sites = tuple(_turned(site, centre) for site in crystal.sites)
            return replace(crystal, hall=str(group.hall), sites=sites)
    raise InputError(f"the inverse of space group '{crystal.hall}' is not in a known setting; change to a standard one")


def _group(ops: Operations, centre: Floats) -> gemmi.SpaceGroup | None:
    """Group of the operations turned over at ``centre``: x' = c − x takes (R, t) to (R, c − R c − t)."""
    moved = []
    for rotation, translation in zip(ops.rotations, ops.translations, strict=True):
        t = np.round(24 * (centre - rotation @ centre - translation)) % 24
        op = gemmi.Op()
        op.rot = [[int(24 * v) for v in row] for row in rotation]
        op.tran = [int(v) for v in t]
        moved.append(op)
    return gemmi.find_spacegroup_by_ops(gemmi.GroupOps(moved))


def _turned(site: Site, centre: Floats) -> Site:
    x, y, z = (centre - np.array(site.fract)).tolist()
    return replace(site, fract=(x, y, z))


def compare_hands(crystal: Crystal, *, refine: Callable[[Crystal], Refinement]) -> HandVerdict:
    """Refine both hands by ``refine`` (a function of the model alone) and compare them."""
    if is_centrosymmetric(crystal.hall):
        raise InputError(f"'{crystal.name}' is centrosymmetric: it has no hand to be told")
    given, other = refine(crystal), refine(inverted(crystal))
    z = hand_z(given, other)
    ratio = f"R(obs) {given.r_obs_percent:.2f} % against {other.r_obs_percent:.2f} %, z = {z:.1f}"
    if abs(z) < Z_THAT_DECIDES:
        sentence = f"the data do not tell the hand ({ratio})"
    else:
        sentence = f"the {'given' if z > 0 else 'other'} hand is right ({ratio})"
    return HandVerdict(given=given, other=other, z=z, verdict=sentence)


def hand_z(given: Refinement, other: Refinement, *, instability: float = INSTABILITY) -> float:
    """z of ``given`` over ``other`` on the reflections that both have."""
    place = {key: i for i, key in enumerate(_keys(other))}
    pairs = np.array([(i, place[key]) for i, key in enumerate(_keys(given)) if key in place], dtype=np.int64)
    if len(pairs) < 2:
        raise InputError("the two refinements have no reflections in common")
    a, b = pairs.T
    root = (given.sigma_f[a] ** 2 + (instability * given.f_obs[a]) ** 2) ** -0.5
    residuals = [root * (r.f_obs[i] - r.f_calc[i]) for r, i in ((given, a), (other, b))]
    smallest = max(1e-6 * float(np.sqrt(np.mean(np.square(residuals)))), 1e-150)
    gain = log_density(residuals[0], smallest=smallest) - log_density(residuals[1], smallest=smallest)
    centred = (gain - gain.mean())[:, None]
    unique = asymmetric_hkl(given.hkl[a], given.crystal.hall, friedel=True)
    _, reflection = np.unique(unique, axis=0, return_inverse=True)
    _, frame = np.unique(given.frame[a], return_inverse=True)
    together = float(two_way_covariance(centred, (frame.reshape(-1), reflection.reshape(-1)))[0, 0])
    spread = np.sqrt(max(together, float((centred**2).sum())))
    return float(gain.sum() / spread) if spread > 0 else 0.0


def log_density(residual: Floats, *, smallest: float) -> Floats:
    """ln p of residuals (n,) by the t distribution about 0 that makes them most probable; its width ≥ ``smallest``."""
    size = np.maximum(np.abs(residual), smallest)
    low = np.log([_FREEDOM[0], smallest])
    high = np.log([_FREEDOM[1], 2.0 * size.max()])

    def of(point: Floats) -> Floats:
        freedom, width = np.exp(np.clip(point, low, high))
        front = gammaln((freedom + 1) / 2) - gammaln(freedom / 2) - 0.5 * np.log(np.pi * freedom) - np.log(width)
        return np.asarray(front - 0.5 * (freedom + 1) * np.log1p((residual / width) ** 2 / freedom))

    start = np.array([np.log(4.0), np.log(1.5 * np.median(size))])
    found = minimize(lambda point: -of(point).sum(), start, method="Nelder-Mead")  # type: ignore[call-overload]
    return of(found.x)


def _keys(refinement: Refinement) -> list[tuple[int, ...]]:
    return [(*h, f) for h, f in zip(refinement.hkl.tolist(), refinement.frame.tolist(), strict=True)]
