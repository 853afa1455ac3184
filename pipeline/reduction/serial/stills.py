"""Orientation of one still by least squares over its spots, and whether chance could have done as well.

Positions tell the turn about the beam and the centre; that a spot is seen says that its node is near the Ewald sphere,
so its excitation error, with the width of a rocking curve for its uncertainty, tells the tilts: spots far from the beam
on all sides hold them to a fraction of width / |g|.

Of n spots each would have a predicted one within the tolerance with probability p if the orientation were wrong. That m
have one by chance is less likely than exp(−G), G = m ln(m/np) + (n − m) ln((n − m)/n(1 − p)) (Chernoff's bound).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from pipeline.reduction.predict import Sweep, near_sphere
from twin.model.instrument import Microscope
from twin.physics.projection import distortion_matrix, pixels_from_g

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SIGMA_PX = 0.5
SIGMA_S_PER_ANGSTROM = 0.01
CENTRE_PRIOR_PX = 0.7
STAGES = ((0.8, 5.0), (1.0, 3.5), (1.4, 3.0), (9.0, 2.0), (9.0, 1.5), (9.0, 1.5))  # |g| limit in Å⁻¹, tolerance in px
FIRST_STAGES = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spots:
    """Spots of one frame: pixels (n, 2), |g| (n,) in Å⁻¹, intensity over sigma (n,)."""

    pixels: Floats
    length: Floats
    strength: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lattice:
    """hkl (h, 3) and their g in the crystal's frame (h, 3), sorted by nothing; what the beam and detector are."""

    hkl: Ints
    g: Floats
    sweep: Sweep
    microscope: Microscope


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Still:
    """rotation (3, 3): crystal's Cartesian frame to the laboratory. centre_px (2,). row (n,): the reflection of each
    spot, −1 for none. evidence: G."""

    rotation: Floats
    centre_px: Floats
    row: Ints
    evidence: float

    @property
    def matched(self) -> int:
        return int(np.count_nonzero(self.row >= 0))


def first_look(spots: Spots, still: Still, lattice: Lattice) -> Still:
    """The orientation after the inner spots have pulled at it."""
    for limit, tolerance in STAGES[:FIRST_STAGES]:
        still = _stepped(spots, still, lattice, limit, tolerance)
    return judged(spots, still, lattice, limit_per_angstrom=STAGES[FIRST_STAGES][0], tolerance_px=2.5)


def second_look(spots: Spots, still: Still, lattice: Lattice) -> Still:
    """The orientation from all spots."""
    for limit, tolerance in STAGES[FIRST_STAGES:]:
        still = _stepped(spots, still, lattice, limit, tolerance)
    return judged(spots, still, lattice, limit_per_angstrom=STAGES[-1][0], tolerance_px=STAGES[-1][1])


def judged(
    spots: Spots, still: Still, lattice: Lattice, *, limit_per_angstrom: float, tolerance_px: float, width: float = 0.02
) -> Still:
    """With the spots that have a prediction within the tolerance, and the evidence of their number."""
    xy, rows, _, _ = _predicted(still, lattice, width)
    own = np.flatnonzero(spots.length < limit_per_angstrom)
    row = np.full(len(spots.pixels), -1, dtype=np.int64)
    if len(own) == 0 or len(rows) == 0:
        return replace(still, row=row, evidence=0.0)
    distance, which = (np.asarray(column) for column in cKDTree(xy).query(spots.pixels[own]))
    near = np.asarray(distance < tolerance_px)
    row[own[near]] = rows[which[near]]
    reach = float(np.max(np.linalg.norm(spots.pixels[own] - still.centre_px, axis=1)))
    inside = np.linalg.norm(xy - still.centre_px, axis=1) < reach
    chance = min(float(np.count_nonzero(inside)) * (tolerance_px / reach) ** 2, 0.9)
    return replace(still, row=row, evidence=evidence(int(near.sum()), len(own), chance))


def evidence(matched: int, spots: int, chance: float) -> float:
    """G of the module; 0 when no more matched than chance would."""
    if spots == 0 or matched <= spots * chance:
        return 0.0
    rest = spots - matched
    value = matched * np.log(matched / (spots * chance))
    return float(value + (rest * np.log(rest / (spots * (1.0 - chance))) if rest else 0.0))


def _predicted(still: Still, lattice: Lattice, width: float) -> tuple[Floats, Ints, Floats, Floats]:
    rows, g, s, _ = near_sphere(
        g_zero=lattice.g, rotation=still.rotation, sweep=lattice.sweep, margin_per_angstrom=width
    )
    xy = pixels_from_g(g_xy=g[:, :2], microscope=lattice.microscope, centre_px=still.centre_px)
    return xy, rows, g, s


def _stepped(spots: Spots, still: Still, lattice: Lattice, limit: float, tolerance_px: float) -> Still:
    """One Gauss–Newton step on the spots below ``limit`` that have a prediction within the tolerance."""
    xy, rows, g, s = _predicted(still, lattice, 0.035)
    own = np.flatnonzero(spots.length < limit)
    if len(own) < 4 or len(rows) == 0:
        return still
    nearest = cKDTree(xy).query(spots.pixels[own], k=min(3, len(rows)))
    distance, which = (np.asarray(column).reshape(len(own), -1) for column in nearest)
    cost = np.where(distance < tolerance_px, (distance / tolerance_px) ** 2 + (s[which] / 0.02) ** 2, np.inf)
    best = np.argmin(cost, axis=1)
    lines = np.arange(len(own))
    good = np.isfinite(cost[lines, best])
    if np.count_nonzero(good) < 4:
        return still
    at = which[lines, best][good]
    residual = spots.pixels[own[good]] - xy[at]
    weight = np.log1p(spots.strength[own[good]])
    turn, shift = _solved(g[at], s[at], residual, weight / weight.mean(), lattice.microscope, lattice.sweep.wavenumber)
    rotation = Rotation.from_rotvec(turn).as_matrix() @ still.rotation
    return replace(still, rotation=rotation, centre_px=still.centre_px + shift)


def _solved(
    g: Floats, s: Floats, residual: Floats, weight: Floats, microscope: Microscope, wavenumber: float
) -> tuple[Floats, Floats]:
    """Turn (3,) in radians about the laboratory's axes and shift of the centre (2,) in px; robust in the positions."""
    p = microscope.projection
    scale = p.camera_length_mm * 1e3 / microscope.detector.pixel_size_um / wavenumber
    ellipse = distortion_matrix(ellipse_percent=p.ellipse_percent, ellipse_azimuth_deg=p.ellipse_azimuth_deg)
    n = len(g)
    about = np.zeros((n, 2, 3))  # changes of (g_x, g_y) by turns about x, y, z
    about[:, 1, 0], about[:, 0, 1] = -g[:, 2], g[:, 2]
    about[:, 0, 2], about[:, 1, 2] = -g[:, 1], g[:, 0]
    rows = np.zeros((n, 3, 5))
    rows[:, :2, :3] = scale * (ellipse @ about)
    rows[:, 0, 3] = rows[:, 1, 4] = 1.0
    rows[:, 2, 0], rows[:, 2, 1] = -g[:, 1], g[:, 0]
    right = np.column_stack([residual, -s])
    off = np.sum(residual**2, axis=1) / SIGMA_PX**2
    w = np.empty((n, 3))
    w[:, :2] = (weight / SIGMA_PX**2 / (1.0 + off / 9.0))[:, None]
    w[:, 2] = weight / SIGMA_S_PER_ANGSTROM**2 / (1.0 + off / 9.0)
    normal = np.einsum("nij,ni,nik->jk", rows, w, rows, optimize=True)
    normal += np.diag([1e-6, 1e-6, 1e-6, CENTRE_PRIOR_PX**-2, CENTRE_PRIOR_PX**-2])
    x = np.linalg.solve(normal, np.einsum("nij,ni,ni->j", rows, w, right, optimize=True))
    return np.clip(x[:3], -0.02, 0.02), np.clip(x[3:], -1.0, 1.0)
