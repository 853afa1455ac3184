"""Spots that other programs found: glycine from the peaks of PETS2, quartz from those of DIALS."""

from __future__ import annotations

import numpy as np

from pipeline.reduction.geometry import ellipse_vector
from pipeline.reduction.indexing import points_at_zero_tilt
from pipeline.reduction.lattice import Indexed
from twin.model.crystal import Cell
from twin.physics.lattice import reciprocal_matrix
from validation import reference
from validation.reduction.real_cell import cell_rows, gap_row, same_lattice
from validation.reduction.real_sources import Spots, glycine_pets, glycine_spots, indexed, quartz_spots
from validation.reduction.wedges import Lattice, with_known_shape
from validation.rows import Row

CELL_KEYS = ("a_angstrom", "b_angstrom", "c_angstrom", "alpha_deg", "beta_deg", "gamma_deg")
FAR = 1.4  # Å⁻¹, beyond which spots are counted apart


def _lattice(spots: Spots, found: Indexed) -> Lattice:
    return Lattice(
        dataset=spots.dataset,
        peaks=spots.peaks,
        hkl=found.hkl,
        good=found.good,
        geometry=found.geometry,
        hall=found.symmetry.hall,
    )


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


def glycine_rows() -> list[Row]:
    """Beside PETS2 and the reference cell."""
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


def quartz_rows() -> list[Row]:
    """Beside DIALS and X-rays."""
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
