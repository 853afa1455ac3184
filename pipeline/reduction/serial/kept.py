"""The stills that have an orientation, numbered anew without gaps, and their indices in the settings chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.geometry import Geometry
from pipeline.reduction.lattice import spot_sigma_px
from pipeline.reduction.observations import Observations
from pipeline.reduction.predict import Sweep
from pipeline.reduction.refine_geometry import Positions
from pipeline.reduction.rocking import Rocking
from pipeline.reduction.serial.index import IndexedStills
from pipeline.reduction.serial.known import KnownLattice
from pipeline.reduction.serial.settings import ChosenSettings
from pipeline.reduction.shares import passage
from pipeline.reduction.spots import Survey
from pipeline.types import Peaks
from twin.model.dataset import Dataset
from twin.model.instrument import Microscope

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptStills:
    """number (kept,): of each still in the series. dataset, seen, geometry: of these stills only. hkl (n, 3): index of
    each of their spots, zeros for none."""

    number: Ints
    dataset: Dataset
    seen: Survey
    geometry: Geometry
    hkl: Ints

    @property
    def good(self) -> Bools:
        """Spots with an index."""
        return np.asarray(np.any(self.hkl != 0, axis=1))

    @property
    def strong(self) -> Bools:
        """Spots that show the shape of a spot: indexed, above 12σ, or the stronger half where those are few."""
        peaks = self.seen.peaks
        strong = self.good & (peaks.intensity > 12.0 * peaks.sigma)
        if np.count_nonzero(strong) >= 20:
            return np.asarray(strong)
        return np.asarray(self.good & (peaks.intensity >= np.quantile(peaks.intensity[self.good], 0.5)))

    def furthest_per_angstrom(self) -> float:
        """|g| where indexed spots end."""
        return float(np.quantile(np.linalg.norm(self.hkl[self.good] @ self.geometry.ub.T, axis=1), 0.99))


def keep_indexed(
    *, dataset: Dataset, seen: Survey, found: IndexedStills, known: KnownLattice, microscope: Microscope
) -> KeptStills:
    """Frames without an orientation left out."""
    pairs = [(f, still) for f, still in enumerate(found.stills) if still is not None]
    number = np.array([f for f, _ in pairs])
    peaks, hkl = seen.peaks, np.zeros((len(seen.peaks.frame), 3), dtype=np.int64)
    anew = np.full(len(found.stills), -1, dtype=np.int64)
    anew[number] = np.arange(len(number))
    for f, still in pairs:
        own = np.flatnonzero(peaks.frame == f)
        hkl[own[still.row >= 0]] = found.lattice.hkl[still.row[still.row >= 0]]
    use = anew[peaks.frame] >= 0
    few = Peaks(
        frame=anew[peaks.frame[use]],
        fast_px=peaks.fast_px[use],
        slow_px=peaks.slow_px[use],
        intensity=peaks.intensity[use],
        sigma=peaks.sigma[use],
    )
    geometry = Geometry(
        ub=known.reciprocal,
        centre_px=np.array([still.centre_px for _, still in pairs]),
        turn=np.array([still.rotation for _, still in pairs]),
        alpha_deg=np.zeros(len(pairs)),
        microscope=microscope,
    )
    view = replace(seen, centre_px=seen.centre_px[number], beam_seen=seen.beam_seen[number], peaks=few)
    return KeptStills(number=number, dataset=_few(dataset, number), seen=view, geometry=geometry, hkl=hkl[use])


def _few(dataset: Dataset, number: Ints) -> Dataset:
    if len(number) == len(dataset.counts):
        return dataset
    return replace(
        dataset,
        counts=dataset.counts[number],
        alpha_start_deg=dataset.alpha_start_deg[number],
        alpha_end_deg=dataset.alpha_end_deg[number],
        exposure_s=dataset.exposure_s[number],
    )


def first_rocking(kept: KeptStills, sweep: Sweep) -> Rocking:
    """A sphere whose width is that of the indexed spots: half of a rocking curve lies within 0.28 of its width, and
    the weak ends are not seen."""
    nothing = np.zeros(np.count_nonzero(kept.good))
    o = Observations(
        hkl=kept.hkl[kept.good],
        frame=kept.seen.peaks.frame[kept.good],
        intensity=nothing,
        sigma=nothing,
        fast_px=nothing,
        slow_px=nothing,
    )
    s = passage(o, kept.geometry, sweep).s
    return Rocking(shape="sphere", width_per_angstrom=1.5 * float(np.median(np.abs(s))))


def in_setting(
    kept: KeptStills, o: Observations, known: KnownLattice, chosen: ChosenSettings
) -> tuple[KeptStills, Observations]:
    """Indices h' = T⁻¹ h and turns R' = R B T B⁻¹ of each frame's setting T."""
    inverse = np.rint(np.linalg.inv(known.settings)).astype(np.int64)[chosen.setting]
    b = known.reciprocal
    u, _, v = np.linalg.svd(b @ known.settings @ np.linalg.inv(b))
    geometry = replace(kept.geometry, turn=kept.geometry.turn @ (u @ v)[chosen.setting])
    hkl = np.einsum("nij,nj->ni", inverse[kept.seen.peaks.frame], kept.hkl)
    renamed = np.einsum("nij,nj->ni", inverse[o.frame], o.hkl)
    return replace(kept, geometry=geometry, hkl=hkl), replace(o, hkl=renamed)


def indexed_positions(kept: KeptStills) -> Positions:
    """The spots with an index."""
    peaks, good = kept.seen.peaks, kept.good
    return Positions(
        hkl=kept.hkl[good],
        frame=peaks.frame[good],
        observed_px=np.stack([peaks.fast_px, peaks.slow_px], axis=1)[good],
        sigma_px=spot_sigma_px(peaks)[good],
    )
