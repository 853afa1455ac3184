"""Stills to orientations: templates for the coarse ones, least squares for the fine ones, and frames refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.reduction.predict import Sweep
from pipeline.reduction.serial.known import KnownLattice
from pipeline.reduction.serial.match import FrameSpots, candidates
from pipeline.reduction.serial.stills import Lattice, Spots, Still, first_look, second_look
from pipeline.reduction.serial.templates import make_templates
from pipeline.types import Peaks
from twin.files.parallel import single_threaded
from twin.model.instrument import Microscope
from twin.physics.projection import g_from_pixels

Floats = NDArray[np.float64]

STEP_DEG = 2.0  # of the templates, as PETS2's serial mode has it
FEWEST_SPOTS = 10
ONE_ORIENTATION_DEG = 1.0  # nearer ones are the same
LOOKS = 3
LEAST_SHARE = 0.3  # of a frame's spots that must be explained
LEAST_ODDS = 1e4  # that chance did not do it, all trials counted, and against the next orientation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IndexedStills:
    """stills (frames,): None for a refused frame. reasons: how many frames were refused, by reason."""

    stills: tuple[Still | None, ...]
    lattice: Lattice
    reasons: dict[str, int]

    @property
    def found(self) -> list[int]:
        """Numbers of the frames with an orientation."""
        return [f for f, still in enumerate(self.stills) if still is not None]

    def sentence(self) -> str:
        """For the log, and for the error when there are too few."""
        refused = ", ".join(f"{n} {why}" for why, n in self.reasons.items() if n)
        return f"{len(self.found)} of {len(self.stills)} frames have an orientation" + (
            f"; refused: {refused}" if refused else ""
        )


def index_stills(
    *,
    peaks: Peaks,
    centre_px: Floats,
    known: KnownLattice,
    microscope: Microscope,
    sweep: Sweep,
    step_deg: float = STEP_DEG,
    tell: Callable[[float], None] = lambda part: None,
) -> IndexedStills:
    """An orientation for every frame whose spots allow one; centre_px (frames, 2)."""
    with single_threaded():  # thousands of small products: threads would only wait for each other
        return _indexed(peaks, centre_px, known, microscope, sweep, step_deg, tell)


def _indexed(
    peaks: Peaks,
    centre_px: Floats,
    known: KnownLattice,
    microscope: Microscope,
    sweep: Sweep,
    step_deg: float,
    tell: Callable[[float], None],
) -> IndexedStills:
    spots = _spots_of_frames(peaks, centre_px, microscope)
    templates = make_templates(known, wavenumber=sweep.wavenumber, step_deg=step_deg)
    trials = templates.turns.shape[0] * templates.polar.azimuthal
    patterns = [FrameSpots(g_xy=g, strength=s.strength) for s, g in spots]
    turns, _ = candidates(patterns, templates)
    tell(0.2)
    furthest = max(float(np.max(s.length, initial=0.5)) for s, _ in spots)
    hkl = known.points(1.02 * furthest)
    lattice = Lattice(hkl=hkl, g=hkl @ known.reciprocal.T, sweep=sweep, microscope=microscope)
    symmetry = turns_of_lattice(known)
    stills: list[Still | None] = []
    reasons = {"with too few spots": 0, "no better than chance": 0, "with two orientations that fit alike": 0}
    for f, (own, _) in enumerate(spots):
        outcome = _orientation(own, centre_px[f], turns[f], lattice, symmetry, trials)
        stills.append(None if isinstance(outcome, str) else outcome)
        if isinstance(outcome, str):
            reasons[outcome] += 1
        tell(0.2 + 0.8 * (f + 1) / len(spots))
    return IndexedStills(stills=tuple(stills), lattice=lattice, reasons=reasons)


def turns_of_lattice(known: KnownLattice) -> Floats:
    """Rotations (n, 3, 3) of the crystal's Cartesian frame that leave the lattice alone: R and R S show the same."""
    b = known.reciprocal
    u, _, v = np.linalg.svd(b @ known.lattice_turns @ np.linalg.inv(b))
    return np.asarray(u @ v)


def misorientation_deg(one: Floats, other: Floats, symmetry: Floats) -> Floats:
    """Smallest angle (n,) between orientations ``one`` (3, 3) and ``other`` (n, 3, 3), modulo the lattice's turns."""
    trace = np.einsum("ij,tjk,nik->nt", one, symmetry, other, optimize=True)
    return np.asarray(np.degrees(np.arccos(np.clip((trace.max(axis=1) - 1.0) / 2.0, -1.0, 1.0))))


def _spots_of_frames(peaks: Peaks, centre_px: Floats, microscope: Microscope) -> list[tuple[Spots, Floats]]:
    pixels = np.stack([peaks.fast_px, peaks.slow_px], axis=1)
    g = g_from_pixels(pixels=pixels, microscope=microscope, centre_px=centre_px[peaks.frame])
    strength = peaks.intensity / peaks.sigma
    out = []
    for f in range(len(centre_px)):
        own = peaks.frame == f
        length = np.hypot(g[own, 0], g[own, 1])
        out.append((Spots(pixels=pixels[own], length=length, strength=strength[own]), g[own]))
    return out


def _orientation(
    spots: Spots, centre_px: Floats, turns: Floats, lattice: Lattice, symmetry: Floats, trials: int
) -> Still | str:
    """The best orientation, or why there is none."""
    if len(spots.pixels) < FEWEST_SPOTS:
        return "with too few spots"
    none = np.full(len(spots.pixels), -1, dtype=np.int64)
    starts = [Still(rotation=r, centre_px=centre_px, row=none, evidence=0.0) for r in turns]
    looked = [first_look(spots, still, lattice) for still in starts]
    looked.sort(key=lambda still: -still.evidence)
    final = [second_look(spots, still, lattice) for still in distinct(looked, symmetry)[:LOOKS]]
    final.sort(key=lambda still: -still.evidence)
    best, *others = distinct(final, symmetry)
    least = np.log(LEAST_ODDS)
    if best.evidence < least + np.log(trials) or best.matched < LEAST_SHARE * len(spots.pixels):
        return "no better than chance"
    if others and best.evidence - others[0].evidence < least:
        return "with two orientations that fit alike"
    return best


def distinct(stills: list[Still], symmetry: Floats) -> list[Still]:
    """Those that are no neighbours of an earlier one in the list."""
    kept: list[Still] = []
    for still in stills:
        before = np.array([k.rotation for k in kept]).reshape(-1, 3, 3)
        if not kept or float(misorientation_deg(still.rotation, before, symmetry).min()) > ONE_ORIENTATION_DEG:
            kept.append(still)
    return kept


def small_turn(rotation: Floats, start: Floats) -> Floats:
    """Rotation vectors (n, 3) in radians, in the laboratory, from ``start`` to ``rotation``; both (n, 3, 3)."""
    return np.asarray(Rotation.from_matrix(rotation @ np.swapaxes(start, 1, 2)).as_rotvec())
