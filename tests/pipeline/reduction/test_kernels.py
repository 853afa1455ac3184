"""Kernels against their definitions in plain numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from pipeline.reduction.background import BOX_PX, Background, fit_background, radial_background, spread_background
from pipeline.reduction.centre import direct_beam_centre
from pipeline.reduction.integrate_kernels import learn_spots
from pipeline.reduction.merge import unmerged
from pipeline.reduction.predict import BLOCK, Sweep, excitation, near_spheres
from pipeline.reduction.refine_geometry import honest_sigma
from pipeline.reduction.spot_profile import OVERSAMPLING
from pipeline.reduction.superlattice.counts import CORE_PX, FILTER_PX, far_from, filtered, mark

CENTRE = (70.3, 81.9)


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(12)
    y, x = np.mgrid[:150, :160]
    level = 3.0 + 20.0 * np.exp(-np.hypot(x - CENTRE[0], y - CENTRE[1]) / 12.0)
    image = rng.poisson(level).astype(np.uint32)
    image[40:43, 100:103] += 400
    bad = np.zeros(image.shape, dtype=bool)
    bad[:, 30] = True
    return image, bad, level


def test_radial_background_is_a_clipped_mean(frame) -> None:
    image, bad, _ = frame
    y, x = np.mgrid[:150, :160]
    ring = np.hypot(x - CENTRE[0], y - CENTRE[1]).astype(int)
    found = radial_background(image=image, bad_pixels=bad, centre_px=CENTRE)
    for r in (20, 40, 60):
        smooth = []
        for k in (r - 1, r, r + 1):
            values = image[(ring == k) & ~bad].astype(float)
            values = values[values < values.mean() + 60]
            kept = values[np.abs(values) <= values.mean() + 3.0 * values.std()]
            smooth.append(kept.mean())
        assert found[r] == pytest.approx(np.dot([0.25, 0.5, 0.25], smooth), rel=0.03)


def test_background_follows_the_level(frame) -> None:
    image, bad, level = frame
    fitted = fit_background(image=image, bad_pixels=bad, centre_px=CENTRE)
    model = spread_background(fitted, image.shape)
    y, x = np.mgrid[:150, :160]
    far = np.hypot(x - CENTRE[0], y - CENTRE[1]) > 8
    assert abs(float(np.mean((model - level)[far]))) < 0.05
    assert float(np.sqrt(np.mean((model - level)[far] ** 2))) < 0.5


def test_spread_is_linear_interpolation_of_profile_and_boxes() -> None:
    rng = np.random.default_rng(3)
    shape = (96, 120)
    boxes = rng.uniform(0, 2, size=(shape[0] // BOX_PX + 2, shape[1] // BOX_PX + 2))
    profile = rng.uniform(5, 6, size=140)
    background = Background(profile=profile, boxes=boxes, centre_px=(50.2, 40.7))
    y, x = np.mgrid[: shape[0], : shape[1]]
    radial = np.interp(np.hypot(x - 50.2, y - 40.7), np.arange(140), profile)
    at = np.stack([(y + 0.5) / BOX_PX + 0.5, (x + 0.5) / BOX_PX + 0.5])
    expected = radial + ndimage.map_coordinates(boxes, at, order=1, mode="nearest")
    assert np.allclose(spread_background(background, shape), expected, atol=2e-4)
    out = np.zeros(shape, dtype=np.float32)
    assert spread_background(background, shape, out) is out


@pytest.mark.parametrize("mode", ["precession", "continuous", "serial"])
def test_reflections_of_a_series_are_those_of_its_frames(mode) -> None:
    rng = np.random.default_rng(8)
    g_zero = rng.uniform(-1.2, 1.2, size=(3000, 3))
    frames = 2 * BLOCK + 3
    turn = Rotation.from_rotvec(np.radians(rng.normal(scale=0.3, size=(frames, 3))))
    rotation = (turn * Rotation.from_rotvec(np.outer(np.radians(0.8 * np.arange(frames)), [0.8, 0.6, 0.0]))).as_matrix()
    rotation[5] = Rotation.random(random_state=2).as_matrix()  # frames of a block need not be neighbours
    margin = rng.uniform(0.001, 0.006, size=len(g_zero))
    sweep = Sweep(mode=mode, half_angle_deg=0.6, tilt_axis_deg=36.0, wavenumber=39.9)
    row, frame, g, s, half = near_spheres(g_zero=g_zero, rotation=rotation, sweep=sweep, margin_per_angstrom=margin)
    assert np.all(np.diff(frame) >= 0)
    for f in range(frames):
        lab = g_zero @ rotation[f].T
        off, wide = excitation(g_lab=lab, sweep=sweep)
        own = frame == f
        assert np.array_equal(row[own], np.flatnonzero(np.abs(off) < wide + margin))
        assert np.allclose(g[own], lab[row[own]])
        assert np.allclose(s[own], off[row[own]])
        assert np.allclose(half[own], wide[row[own]])


def test_marks_and_distances() -> None:
    xs, ys = np.array([10.2, 1.0, 38.9]), np.array([12.7, 30.0, 3.0])
    marked = np.zeros((40, 36), dtype=bool)
    mark(marked, xs, ys, 5.3)
    y, x = np.mgrid[:40, :36]
    near = [np.hypot(x - np.rint(a), y - np.rint(b)) <= np.sqrt(5.3**2) for a, b in zip(xs, ys, strict=True)]
    assert np.array_equal(marked, np.any(near, axis=0))
    assert far_from(np.array([10.0, 20.0]), np.array([12.0, 20.0]), xs, ys, 8.0).tolist() == [False, True]


def test_filter_sums_what_stands_above_its_ring() -> None:
    y, x = np.mgrid[:40, :40]
    spot = 50.0 * np.exp(-0.5 * ((x - 20.3) ** 2 + (y - 19.6) ** 2))
    nothing = np.zeros((40, 40), dtype=bool)
    at = (np.array([20.3, 20.3, 3.0]), np.array([19.6, 19.6, 20.0]))
    value, level = filtered(spot + 2.0, nothing, nothing, *at, np.array([True, False, True]))
    d2 = (x - 20.3) ** 2 + (y - 19.6) ** 2
    inside = d2 <= CORE_PX**2
    assert value[0] == pytest.approx(float(np.sum((spot * np.exp(-0.5 * d2 / FILTER_PX**2))[inside])), rel=0.01)
    assert level[0] == pytest.approx(2.0, abs=0.01)
    assert np.isnan(value[1])  # not wanted
    assert np.isnan(value[2])  # the ring ends beyond the detector


def test_beam_centre_of_a_flat_topped_disc() -> None:
    y, x = np.mgrid[:200, :200]
    disc = np.minimum(3e4 * np.exp(-0.5 * ((x - 103.4) ** 2 + (y - 96.8) ** 2) / 9.0), 2e4)
    image = (disc + 1.0).astype(np.uint32)
    found = direct_beam_centre(image=image, bad_pixels=np.zeros(image.shape, dtype=bool), start_px=(99.5, 99.5))
    assert found is not None
    assert found[:2] == pytest.approx((103.4, 96.8), abs=0.02)
    flat = np.full((200, 200), 7, dtype=np.uint32)
    assert direct_beam_centre(image=flat, bad_pixels=flat == 0, start_px=(99.5, 99.5)) is None


def test_profiles_are_learned_without_bad_pixels() -> None:
    reach, size = 9, 2 * 9 * OVERSAMPLING + 1
    grid = np.zeros((size, size))
    y, x = np.mgrid[:41, :41]
    net = (1000.0 / (2 * np.pi) * np.exp(-0.5 * ((x - 20) ** 2 + (y - 20) ** 2))).astype(np.float32)
    hot, bad = net.copy(), np.zeros((41, 41), dtype=bool)
    hot[20, 27], bad[20, 27] = 1e5, True  # 7 px away: beyond the core of the spot, within its tail
    one = (np.array([20.0]), np.array([20.0]), np.array([1000.0]), np.zeros(1), np.zeros(1), np.zeros(1, np.int64))
    model = np.zeros_like(net)
    clean = learn_spots(net, model, np.zeros_like(bad), grid, *one, reach, size)
    spared = learn_spots(hot, model, bad, grid, *one, reach, size)
    known = spared[1] > 0
    assert np.allclose(spared[0][known], clean[0][known])
    assert spared[1].sum() < clean[1].sum()


def _residuals(sigma, extra, rng):
    return rng.normal(size=(len(sigma), 2)) * np.hypot(sigma, extra)[:, None]


def test_what_weak_spots_lack_is_not_put_on_strong_ones() -> None:
    rng = np.random.default_rng(6)
    claimed = np.concatenate([np.geomspace(0.01, 0.3, 1200), np.geomspace(0.3, 1.0, 2800)])
    true = np.where(claimed > 0.3, 1.25 * claimed, claimed)
    found = honest_sigma(_residuals(true, 0.0, rng), claimed, freedom=0.0)
    assert np.all(found[claimed < 0.02] < 1.3 * claimed[claimed < 0.02])
    assert np.median(found[claimed > 0.3] / true[claimed > 0.3]) == pytest.approx(1.0, abs=0.15)


def test_an_error_common_to_all_spots_is_their_floor() -> None:
    rng = np.random.default_rng(7)
    claimed = np.geomspace(0.01, 1.0, 4000)
    found = honest_sigma(_residuals(claimed, 0.1, rng), claimed, freedom=0.0)
    assert np.allclose(found, np.hypot(claimed, 0.1), rtol=0.12)


def test_sigmas_too_large_shrink() -> None:
    rng = np.random.default_rng(8)
    true = np.geomspace(0.01, 1.0, 4000)
    found = honest_sigma(_residuals(true, 0.0, rng), 2.0 * true, freedom=0.0)
    assert np.median(found / true) == pytest.approx(1.0, abs=0.05)


def test_parts_of_a_curve_add_up_where_the_series_says_so(reduced) -> None:
    """A reflection that two exposures share is whole in a rotation and half seen in a stepped series."""
    r = reduced.reflections
    halves = replace(
        r,
        hkl=np.repeat(np.array([[1, 2, 3]]), 2, axis=0),
        frame=np.array([0, 1]),
        intensity=np.array([50.0, 50.0]),
        sigma=np.array([2.0, 2.0]),
        fast_px=np.zeros(2),
        slow_px=np.zeros(2),
        excitation_error_per_angstrom=np.zeros(2),
        swept_fraction=np.array([0.3, 0.3]),
        frame_scale=np.ones(len(r.frame_scale)),
        partiality=np.array([0.5, 0.5]),
    )
    assert len(unmerged(replace(halves, additive=True)).hkl) == 1
    assert len(unmerged(replace(halves, additive=False)).hkl) == 0  # neither exposure holds enough of the curve
