"""Measured series: cinchonine from its raw frames beside XDS, glycine from the peaks of PETS2, quartz from the spots of
DIALS. The data stay in ../shared/realdata (or $EDTWIN_REALDATA); without them there are no rows.

Lengths of a cell share a scale that the frames do not tell, so ratios and angles are compared; their uncertainties come
from parts of the series left out (wedges.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.io.series.nominal import Nominal
from pipeline.io.series.read import read_series
from pipeline.reduction.chip_gap import measured_gap
from pipeline.reduction.geometry import ellipse_vector
from pipeline.reduction.indexing import points_at_zero_tilt
from pipeline.reduction.lattice import Indexed
from pipeline.reduction.reduce import ReducedSeries, reduce_series
from pipeline.reduction.series import px_per_inverse_angstrom, sweep_of
from pipeline.reduction.spots import survey
from twin.model.crystal import Cell
from twin.model.dataset import Dataset
from twin.physics.lattice import reciprocal_matrix
from twin.physics.symmetry import asymmetric_hkl
from validation import reference
from validation.realdata import data_folder
from validation.reduction.dials import PYTHON
from validation.reduction.real_sources import (
    Spots,
    glycine_pets,
    glycine_spots,
    indexed,
    quartz_spots,
    read_xds,
    xds_ub,
)
from validation.reduction.wedges import Lattice, shape_of_cell, with_known_shape
from validation.rows import Row

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

XDS_CELL = (10.732, 7.283, 11.107, 90.0, 108.060, 90.0)  # CORRECT.LP: its e.s.d. of a length is 0.2 Å
CELL_KEYS = ("a_angstrom", "b_angstrom", "c_angstrom", "alpha_deg", "beta_deg", "gamma_deg")
FAR = 1.4  # Å⁻¹, beyond which spots are counted apart
NAMES, UNITS = ("a/b", "c/b", "α", "β", "γ"), ("", "", "°", "°", "°")


def same_lattice(ub: Floats, other: Floats) -> tuple[Ints, float]:
    """N with other ≈ turn · ub · N for the smallest turn, and that turn in degrees. Both primitive, same volume ± 10 %.

    Candidates for N come from rounding; the turn is what the polar decomposition leaves.
    """
    n = np.rint(np.linalg.solve(ub, other)).astype(np.int64)
    if abs(round(float(np.linalg.det(n)))) != 1:
        return n, float("nan")
    u, _, vt = np.linalg.svd(other @ np.linalg.inv(ub @ n))
    return n, float(np.degrees(Rotation.from_matrix(u @ vt).magnitude()))


def cell_rows(
    key: str, lattice: Lattice, n: Ints, wanted: tuple[float, ...], peer: str, *, free: tuple[int, ...]
) -> list[Row]:
    """Ratios and angles (``free``: numbers of those that the symmetry leaves free) beside the published ones."""
    published = (wanted[0] / wanted[1], wanted[2] / wanted[1], *wanted[3:])
    rows = []
    for optics, tail, name in ((True, "", ""), (False, "-plain", ", optics taken as perfect")):
        shape = shape_of_cell(lattice, transform=np.linalg.inv(n), optics=optics)
        rows += [
            Row(
                id=f"{key}-cell-{NAMES[k]}{tail}",
                quantity=f"cell, {NAMES[k]}{name}",
                value=float(shape.values[k]),
                unit=UNITS[k],
                peer=peer,
                peer_value=published[k],
                n=int(np.count_nonzero(lattice.good)),
                note=f"± {shape.sd[k]:.4f}",
            )
            for k in free
        ]
        rows.append(Row(id=f"{key}-rms{tail}", quantity=f"residual of positions{name}", value=shape.rms_px, unit="px"))
        if optics:
            e, sd = shape.ellipse_percent, shape.ellipse_sd_percent
            rows.append(
                Row(
                    id=f"{key}-ellipse",
                    quantity="ellipse",
                    value=float(np.hypot(*e)),
                    unit="%",
                    note=f"along the fast axis {e[0]:.3f} ± {sd[0]:.3f}, at 45° {e[1]:.3f} ± {sd[1]:.3f}",
                )
            )
    b = float(np.linalg.norm(np.linalg.inv(lattice.geometry.ub @ np.linalg.inv(n))[1]))
    rows.append(
        Row(
            id=f"{key}-cell-scale",
            quantity="cell, b",
            value=b,
            unit="Å",
            peer=peer,
            peer_value=wanted[1],
            note=f"ratio {b / wanted[1]:.4f}",
        )
    )
    return rows


def gap_row(key: str, spots: Spots, found: Indexed, truth: str) -> list[Row]:
    """What the spots say about pixels that are missing between the halves of the detector."""
    sweep = sweep_of(spots.dataset, found.geometry.microscope.projection.tilt_axis_deg)
    _, slow, fast = spots.dataset.counts.shape
    gap = measured_gap(
        peaks=spots.peaks,
        hkl=np.where(found.good[:, None], found.hkl, 0),
        geometry=found.geometry,
        hall=found.symmetry.hall,
        sweep=sweep,
        size_px=(fast, slow),
    )
    if gap is None:
        return []
    said = f"± {gap.sd_px:.3f}; {truth}; residual {gap.rms_px:.3f} px, {gap.rms_with_px:.3f} px with a whole number"
    quantity = "pixels missing between the chips, from the spots"
    return [Row(id=f"{key}-gap", quantity=quantity, value=gap.gap_px, unit="px", note=said)]


def _lattice(spots: Spots, found: Indexed) -> Lattice:
    return Lattice(
        dataset=spots.dataset,
        peaks=spots.peaks,
        hkl=found.hkl,
        good=found.good,
        geometry=found.geometry,
        hall=found.symmetry.hall,
    )


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


def _cinchonine_rows() -> list[Row]:
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


def _spot_rows(key: str, spots: Spots, found: Indexed, said: tuple[str, ...]) -> list[Row]:
    good = found.good
    note = "; ".join(s for s in said if s.startswith(("rocking curves", "pattern of", "second look")))
    quantity = "spots indexed"
    rows = [
        Row(
            id=f"{key}-indexed", quantity=quantity, value=100.0 * float(np.mean(good)), unit="%", n=len(good), note=note
        )
    ]
    points = points_at_zero_tilt(peaks=spots.peaks, geometry=found.geometry)
    length = np.linalg.norm(points, axis=1)
    whole = points @ np.linalg.inv(found.geometry.ub).T
    near = np.all(np.abs(whole - np.rint(whole)) < 0.25, axis=1)
    for where, own in ((f"up to {FAR:g} Å⁻¹", length < FAR), (f"beyond {FAR:g} Å⁻¹", length >= FAR)):
        left = own & ~good
        rest = (
            f"of the {np.count_nonzero(left)} left over {100 * np.mean(near[left]):.0f} % lie within a quarter of whole"
        )
        rows.append(
            Row(
                id=f"{key}-indexed-{where}",
                quantity=f"spots indexed {where}",
                value=100.0 * float(np.mean(good[own])),
                unit="%",
                n=int(np.count_nonzero(own)),
                note=f"{rest} indices, of random ones 12.5 %",
            )
        )
    return rows


def _glycine_rows() -> list[Row]:
    spots, cell = glycine_spots()
    found, said = indexed(spots)
    pets, clustered, own = glycine_pets()
    n, turn = same_lattice(pets, found.geometry.ub)
    lattice = _lattice(spots, found)
    known = Cell(**dict(zip(CELL_KEYS, cell, strict=True)))
    fixed = with_known_shape(lattice, reciprocal_matrix(known) @ n)
    e = 100.0 * ellipse_vector(fixed.geometry.microscope)
    vectors = clustered @ np.linalg.inv(found.geometry.ub).T
    near = np.all(np.abs(vectors - np.rint(vectors)) < 0.15, axis=1)
    return [
        Row(
            id="glycine-cell-pets",
            quantity="cell, c/b as PETS2 refined it, without constraint",
            value=own[2] / own[1],
            unit="",
            peer="reference CIF",
            peer_value=cell[2] / cell[1],
            note=f"its a/b {own[0] / own[1]:.4f}, α {own[3]:.2f}°: the metric of these peaks is distorted",
        ),
        *cell_rows("glycine", lattice, n, cell, "reference CIF", free=(0, 1, 3)),
        Row(
            id="glycine-known",
            quantity="residual of positions with the shape of the reference cell",
            value=fixed.rms_px,
            unit="px",
            note=f"ellipse along the fast axis {e[0]:.2f} %, at 45° {e[1]:.2f} %",
        ),
        Row(id="glycine-turn", quantity="orientation of the crystal against PETS2", value=turn, unit="°"),
        *_spot_rows("glycine", spots, found, said),
        Row(
            id="glycine-vectors",
            quantity="vectors of PETS2 (.xyz) within 0.15 of whole indices",
            value=100.0 * float(np.mean(near)),
            unit="%",
            peer="PETS2",
            peer_value=97.0,
            n=len(near),
            note="the vectors carry distortions, which PETS2's unconstrained cell takes in",
        ),
        *gap_row("glycine", spots, found, "frames of 516 px, 0 expected"),
    ]


def _quartz_rows() -> list[Row]:
    spots, dials = quartz_spots()
    found, said = indexed(spots)
    lattice = _lattice(spots, found)
    quartz = reference.QUARTZ.cell.parameters
    azimuth = (found.geometry.microscope.projection.tilt_axis_deg + 180) % 360 - 180
    literature = "X-rays (Levien et al. 1980)"
    return [
        Row(
            id="quartz-cell-dials",
            quantity="cell, c/b as DIALS refined it, without distortions",
            value=dials[2] / dials[1],
            unit="",
            peer=literature,
            peer_value=quartz[2] / quartz[1],
        ),
        *cell_rows("quartz", lattice, np.eye(3, dtype=np.int64), quartz, literature, free=(1,)),
        *_spot_rows("quartz", spots, found, said),
        Row(
            id="quartz-axis",
            quantity="tilt-axis azimuth",
            value=azimuth,
            unit="°",
            peer="DIALS",
            peer_value=-0.531,
            note=found.geometry.distortion.sentence(),
        ),
        *gap_row("quartz", spots, found, "detector without chips, 0 expected"),
    ]


def real_rows() -> list[Row]:
    """Rows of every measured series that is there."""
    if not data_folder().is_dir():
        return []
    rows = _cinchonine_rows() + _glycine_rows()
    return rows + (_quartz_rows() if Path(PYTHON).is_file() else [])
