"""Spots that a first indexing leaves over: wide rocking curves, frames that jump, halves of a detector too near."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.reduction.again import look_again
from pipeline.reduction.chip_gap import measured_gap
from pipeline.reduction.geometry import Geometry, to_pixels
from pipeline.reduction.indexing import lattice_points
from pipeline.reduction.jumps import frame_jumps
from pipeline.reduction.lattice import Indexed, refine_indexed
from pipeline.reduction.lattice_symmetry import LatticeSymmetry
from pipeline.reduction.predict import Sweep, near_sphere
from pipeline.types import Peaks
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import reciprocal_matrix, rotation_matrix
from validation import reference

FRAMES, G_MAX, PX = 40, 1.6, 1.0 / 0.008
SYMMETRY = LatticeSymmetry(
    system="orthorhombic", centring="P", hall="-P 2 2", transform=np.eye(3, dtype=np.int64), order=4, strain=0.0
)  # fmt: skip


def series(*, tail: float, seed: int = 3, stray: int = 0) -> tuple[Geometry, Sweep, Peaks]:
    """Spots of brookite, 40 frames of 1°; those beyond the sweep show with the probability exp(−distance / tail)."""
    rng = np.random.default_rng(seed)
    microscope = reference.microscope(size_px=512, per_px=0.008)
    mounting = rotation_matrix(axis=np.array([0.3, 0.8, 0.5]), angle_deg=50.0)
    geometry = Geometry(
        ub=mounting @ reciprocal_matrix(reference.BROOKITE.cell),
        centre_px=np.tile([250.0, 260.0], (FRAMES, 1)),
        turn=np.tile(np.eye(3), (FRAMES, 1, 1)),
        alpha_deg=np.arange(FRAMES) - 0.5 * FRAMES,
        microscope=microscope,
    )
    axis = microscope.projection.tilt_axis_deg
    k = wavenumber_per_angstrom(energy_kev=200.0)
    sweep = Sweep(mode="continuous", half_angle_deg=0.5, tilt_axis_deg=axis, wavenumber=k)
    g_zero = lattice_points(ub=geometry.ub, centring="P", g_max_per_angstrom=G_MAX) @ geometry.ub.T
    visible = rng.random(len(g_zero)) < 0.7
    frame, xy = [], []
    for f in range(FRAMES):
        near, g, s, half = near_sphere(
            g_zero=g_zero, rotation=geometry.rotation[f], sweep=sweep, margin_per_angstrom=0.05
        )
        shown = visible[near] & (rng.random(len(near)) < np.exp(-np.maximum(np.abs(s) - half, 0.0) / tail))
        where = to_pixels(geometry, g[shown, :2], f)
        where = np.concatenate([where, 256.0 + 200.0 * (rng.random((stray, 2)) - 0.5)])
        xy.append(where + 0.1 * rng.normal(size=where.shape))
        frame.append(np.full(len(where), f))
    at = np.concatenate(xy)
    counts = np.full(len(at), 400.0)
    peaks = Peaks(
        frame=np.concatenate(frame), fast_px=at[:, 0], slow_px=at[:, 1], intensity=counts, sigma=np.sqrt(counts)
    )
    return geometry, sweep, peaks


def first(geometry: Geometry, sweep: Sweep, peaks: Peaks) -> Indexed:
    n = len(peaks.frame)
    start = Indexed(
        geometry=geometry, hkl=np.zeros((n, 3), dtype=np.int64), good=np.zeros(n, dtype=bool), rms_px=0.5,
        symmetry=SYMMETRY, tried=(),
    )  # fmt: skip
    return refine_indexed(
        peaks=peaks, found=start, sweep=sweep, px_per_angstrom=PX, g_max_per_angstrom=G_MAX, width_per_angstrom=0.012
    )


def again(found: Indexed, sweep: Sweep, peaks: Peaks) -> tuple[Indexed, np.ndarray, list[str]]:
    return look_again(
        peaks=peaks, found=found, sweep=sweep, px_per_angstrom=PX, g_max_per_angstrom=G_MAX, width_per_angstrom=0.012
    )


def test_spots_in_wide_tails_are_indexed() -> None:
    geometry, sweep, peaks = series(tail=0.008)
    found = first(geometry, sweep, peaks)
    assert np.mean(found.good) < 0.9
    wider, jumped, said = again(found, sweep, peaks)
    assert np.mean(wider.good) > 0.96
    assert not np.any(jumped)
    assert "rocking curves reach" in " ".join(said)


def test_stray_spots_do_not_widen_the_search() -> None:
    geometry, sweep, peaks = series(tail=0.0005, stray=4)
    found = first(geometry, sweep, peaks)
    assert np.mean(found.good) < 0.95
    same, jumped, said = again(found, sweep, peaks)
    assert same is found
    assert not np.any(jumped)
    assert said == []


def test_jumped_frames_are_followed_and_no_others() -> None:
    geometry, sweep, peaks = series(tail=0.0005)
    put = {7: (3.1, -2.2), 8: (3.4, -2.0), 30: (-1.9, 4.4)}
    shift = np.zeros((FRAMES, 2))
    for f, value in put.items():
        shift[f] = value
    moved = replace(peaks, fast_px=peaks.fast_px + shift[peaks.frame, 0], slow_px=peaks.slow_px + shift[peaks.frame, 1])
    found = first(geometry, sweep, moved)
    jumps = frame_jumps(
        peaks=moved, good=found.good, geometry=found.geometry, sweep=sweep, centring="P", g_max_per_angstrom=G_MAX,
        width_per_angstrom=0.012,
    )  # fmt: skip
    assert jumps.frames.tolist() == sorted(put)
    assert np.abs(jumps.shift_px - shift).max() < 0.3
    assert "frames 8, 9, 31" in jumps.sentence()


def test_frames_of_noise_have_not_jumped() -> None:
    """Random spots on every frame: a shift that fits some of them by chance must not be believed."""
    geometry, sweep, peaks = series(tail=0.0005)
    rng = np.random.default_rng(5)
    noise = replace(
        peaks,
        fast_px=256.0 + 300.0 * (rng.random(len(peaks.frame)) - 0.5),
        slow_px=256.0 + 300.0 * (rng.random(len(peaks.frame)) - 0.5),
    )
    jumps = frame_jumps(
        peaks=noise, good=np.zeros(len(noise.frame), dtype=bool), geometry=geometry, sweep=sweep, centring="P",
        g_max_per_angstrom=G_MAX, width_per_angstrom=0.012,
    )  # fmt: skip
    assert len(jumps.frames) <= 1


@pytest.mark.parametrize("gap", [0.0, 2.0])
def test_the_halves_of_the_detector_tell_what_is_missing_between_them(gap: float) -> None:
    geometry, sweep, peaks = series(tail=0.0005)

    def nearer(position: np.ndarray) -> np.ndarray:
        return np.where(position > 255.5, position - gap, position)

    raw = replace(peaks, fast_px=nearer(peaks.fast_px), slow_px=nearer(peaks.slow_px))
    centre = np.tile(nearer(np.array([250.0, 260.0])), (FRAMES, 1))
    found = first(geometry, sweep, peaks)
    size = 512 - round(gap)
    measured = measured_gap(
        peaks=raw, hkl=np.where(found.good[:, None], found.hkl, 0), hall=SYMMETRY.hall, sweep=sweep,
        geometry=replace(found.geometry, centre_px=centre), size_px=(size, size),
    )  # fmt: skip
    assert measured is not None
    assert measured.gap_px == pytest.approx(gap, abs=0.15)
    assert bool(measured.sentence()) == (gap > 0)
