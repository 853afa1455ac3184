"""The whole chain on frames whose truth is known, from a nominal axis that is far off and of the wrong sense."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.reduction.errors import ReductionError
from pipeline.reduction.merge import unmerged
from pipeline.reduction.reduce import reduce_series
from twin.physics.structure_factors import structure_factors


def _orientation_errors_deg(made, rotation):
    """Rotation vectors left over after the turn common to all frames."""
    common = Rotation.from_matrix(np.einsum("fji,fjk->fik", made.rotation, rotation)).mean().as_matrix()
    left = np.einsum("fij,fkj->fik", rotation, made.rotation @ common)
    return np.degrees(Rotation.from_matrix(left).as_rotvec())


def test_cell_up_to_scale(made, reduced) -> None:
    found = np.sort(reduced.orientation.cell.parameters[:3])
    true = np.sort(made.crystal.cell.parameters[:3])
    ratios = found / true
    assert np.all(np.abs(ratios / ratios.mean() - 1) < 0.001)
    assert abs(ratios.mean() - 1 / 1.01) < 0.002  # the camera length is 1 % off, which nothing in the frames tells


def test_axis_sense_and_ellipse(made, reduced) -> None:
    p, true = reduced.orientation.microscope.projection, made.microscope.projection
    difference = (p.tilt_axis_deg - true.tilt_axis_deg + 180) % 360 - 180
    assert abs(difference) < 0.1
    assert abs(p.ellipse_percent - true.ellipse_percent) < 0.05
    assert any("sense of rotation" in note and "clear" in note for note in reduced.orientation.notes)


def test_orientations_follow_the_jitter(made, reduced) -> None:
    errors = _orientation_errors_deg(made, reduced.orientation.rotation)
    assert np.sqrt(np.mean(np.sum(errors**2, axis=1))) < 0.04
    assert np.all(reduced.orientation.indexed)


def test_centres(made, reduced) -> None:
    assert np.sqrt(np.mean((reduced.orientation.centre_px - made.centre_px) ** 2)) < 0.03


def test_right_handed_and_consistent(reduced) -> None:
    o = reduced.orientation
    assert np.linalg.det(o.ub) > 0
    assert np.allclose(np.einsum("fij,fkj->fik", o.rotation, o.rotation), np.eye(3), atol=1e-9)


def test_merged_intensities(made, reduced) -> None:
    merged = reduced.merged
    assert merged.hall == "-P 2 2"
    order_found = np.argsort(reduced.orientation.cell.parameters[:3])
    order_true = np.argsort(made.crystal.cell.parameters[:3])
    hkl = np.zeros_like(merged.hkl)
    hkl[:, order_true] = merged.hkl[:, order_found]
    f2 = np.abs(structure_factors(crystal=made.crystal, hkl=hkl)) ** 2
    assert np.corrcoef(f2, merged.intensity)[0, 1] > 0.999
    scale = np.sum(f2 * merged.intensity) / np.sum(f2**2)
    pull = (merged.intensity - scale * f2) / merged.sigma
    assert 0.6 < np.std(pull) < 1.6
    assert merged.r_int_percent < 8
    assert 40 < merged.completeness_percent <= 101


def test_weak_reflections_are_kept(reduced) -> None:
    r = reduced.reflections
    assert np.mean(r.intensity < 3 * r.sigma) > 0.1
    assert np.any(r.intensity < 0)


def test_unmerged_agrees_with_merged(reduced) -> None:
    loose = unmerged(reduced.reflections)
    assert loose.hall == "-P 1"
    assert len(loose.hkl) > 2 * len(reduced.merged.hkl)
    table = {tuple(h): i for h, i in zip(reduced.merged.hkl.tolist(), reduced.merged.intensity, strict=True)}
    pairs = np.array(
        [(table[tuple(h)], i) for h, i in zip(loose.hkl.tolist(), loose.intensity, strict=True) if tuple(h) in table]
    )
    assert np.corrcoef(pairs.T)[0, 1] > 0.99


def test_noise_of_double_hits(reduced) -> None:
    assert abs(reduced.noise.gain - 2.0) < 0.25  # each electron fires two pixels: var(sum) = 2 x sum


def test_same_input_same_output(made, reduced) -> None:
    again = reduce_series(dataset=made.dataset)
    assert np.array_equal(again.merged.intensity, reduced.merged.intensity)
    assert np.array_equal(again.orientation.rotation, reduced.orientation.rotation)


def test_empty_frames_end_in_a_sentence(made) -> None:
    empty = replace(made.dataset, counts=np.zeros_like(made.dataset.counts))
    with pytest.raises(ReductionError, match="reads 0"):
        reduce_series(dataset=empty)


def test_noise_only_ends_in_a_sentence(made) -> None:
    rng = np.random.default_rng(3)
    noise = rng.poisson(2.0, size=made.dataset.counts.shape).astype(np.uint32)
    with pytest.raises(ReductionError):
        reduce_series(dataset=replace(made.dataset, counts=noise))


def test_few_frames_end_in_a_sentence(made) -> None:
    d = made.dataset
    short = replace(
        d,
        counts=d.counts[:3],
        alpha_start_deg=d.alpha_start_deg[:3],
        alpha_end_deg=d.alpha_end_deg[:3],
        exposure_s=d.exposure_s[:3],
    )
    with pytest.raises(ReductionError, match="at least 5"):
        reduce_series(dataset=short)
