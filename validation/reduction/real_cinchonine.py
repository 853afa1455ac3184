"""Cinchonine from its raw frames, beside XDS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.io.series.nominal import Nominal
from pipeline.io.series.read import read_series
from pipeline.reduction.reduce import ReducedSeries, reduce_series
from pipeline.reduction.series import px_per_inverse_angstrom
from pipeline.reduction.spots import survey
from twin.model.dataset import Dataset
from twin.physics.symmetry import asymmetric_hkl
from validation.realdata import data_folder
from validation.reduction.real_cell import cell_rows, gap_row, same_lattice
from validation.reduction.real_sources import Spots, indexed, read_xds, xds_ub
from validation.reduction.wedges import Lattice
from validation.rows import Row

Ints = NDArray[np.int64]

XDS_CELL = (10.732, 7.283, 11.107, 90.0, 108.060, 90.0)  # CORRECT.LP: its e.s.d. of a length is 0.2 Å


def cinchonine(*, chip_gap_px: int | None = None) -> Dataset:
    """Raw frames with what the log says; ``chip_gap_px``: 0 for the pixels as they stand in the files."""
    path = data_folder() / "cinchonine" / "diff_raw_405x512x512_u16.h5"
    return read_series(path, nominal=Nominal(chip_gap_px=chip_gap_px))


def _merged_against_xds(reduced: ReducedSeries, n: Ints) -> list[Row]:
    hkl, intensity, sigma = read_xds(data_folder() / "cinchonine" / "xds" / "XDS_ASCII.HKL")
    hall = reduced.merged.hall
    table: dict[tuple[int, ...], list[tuple[float, float]]] = {}
    for h, i, s in zip(map(tuple, asymmetric_hkl(hkl, hall, friedel=True).tolist()), intensity, sigma, strict=True):
        table.setdefault(h, []).append((float(i), float(s)))
    ours = asymmetric_hkl(reduced.merged.hkl @ np.linalg.inv(n).T.round().astype(np.int64), hall, friedel=True)
    pairs = []
    for h, i in zip(map(tuple, ours.tolist()), reduced.merged.intensity.tolist(), strict=True):
        if h in table:
            values = np.array(table[h])
            pairs.append((i, float(np.average(values[:, 0], weights=values[:, 1] ** -2))))
    a, b = np.array(pairs).T
    fa, fb = np.sqrt(np.maximum(a, 0)), np.sqrt(np.maximum(b, 0))
    fa = fa * float(fa @ fb / (fa @ fa))
    cc, r = float(np.corrcoef(a, b)[0, 1]), 100.0 * float(np.sum(np.abs(fa - fb)) / np.sum(fb))
    return [
        Row(id="cinchonine-cc", quantity="CC of merged intensities with XDS", value=cc, unit="", n=len(a)),
        Row(id="cinchonine-r", quantity="R on |F| against XDS", value=r, unit="%", n=len(a)),
    ]


def cinchonine_rows() -> list[Row]:
    """Cell, orientation, intensities and what the spots say about the detector."""
    raw = cinchonine(chip_gap_px=0)
    seen = survey(dataset=raw, px_per_inverse_angstrom=px_per_inverse_angstrom(raw))
    spots = Spots(dataset=raw, peaks=seen.peaks, centre_px=seen.centre_px)
    rows = gap_row("cinchonine", spots, indexed(spots)[0], "in the raw frames, XDS' frames have it too; 2 by hardware")
    dataset = cinchonine()
    reduced = reduce_series(dataset=dataset)
    o, merged = reduced.orientation, reduced.merged
    n, turn = same_lattice(xds_ub(), o.ub)
    good = np.any(reduced.peak_hkl != 0, axis=1)
    lattice = Lattice(
        dataset=dataset,
        peaks=reduced.peaks,
        hkl=reduced.peak_hkl,
        good=good,
        geometry=reduced.fit.geometry,
        hall=merged.hall,
    )
    left = next((s for s in reduced.log if "stay at their places" in s or "not explained" in s), "")
    azimuth = (o.microscope.projection.tilt_axis_deg + 180.0) % 360.0 - 180.0
    nominal = f"nominal {dataset.microscope.projection.tilt_axis_deg:g}"
    limit = f"to {merged.g_max_per_angstrom:.2f} Å⁻¹, class {merged.hall}"
    rows += cell_rows("cinchonine", lattice, n, XDS_CELL, "XDS", free=(0, 1, 3))

    def row(key: str, quantity: str, value: float, unit: str, **more: Any) -> Row:
        return Row(id=f"cinchonine-{key}", quantity=quantity, value=value, unit=unit, **more)

    rows += [
        row("axis", "tilt-axis azimuth", azimuth, "°", peer="XDS", peer_value=-37.502, note=nominal),
        row("turn", "orientation of the crystal against XDS", turn, "°"),
        row("indexed", "spots indexed", 100.0 * float(np.mean(good)), "%", n=len(good), note=left),
        row("rint", "R_int", merged.r_int_percent, "%", n=len(merged.hkl), note=limit),
        row("complete", "completeness", merged.completeness_percent, "%", peer="XDS", peer_value=70.7),
    ]
    return rows + (_merged_against_xds(reduced, n) if np.isfinite(turn) else [])
