"""Sense of rotation: only the curvature of the Ewald sphere tells, and the answer says how surely."""

from __future__ import annotations

import numpy as np

from pipeline.reduction.axis import sense_of_rotation

K = 1 / 0.02508


def _nodes(*, reach: float, error: float, mirrored: bool, frames: int = 40, per_frame: int = 12):
    """Nodes on the sphere within ``error``, seen with the right sense or its opposite."""
    rng = np.random.default_rng(4)
    n = frames * per_frame
    xy = rng.uniform(-reach, reach, size=(n, 2))
    z = -np.sum(xy**2, axis=1) / (2 * K) + error * rng.normal(size=n)
    g = np.column_stack([xy, -z if mirrored else z])
    return g, np.repeat(np.arange(frames), per_frame)


def _decide(g, frame):
    n = len(g)
    return sense_of_rotation(
        g_model=g, frame=frame, half_sweep=np.full(n, 0.004), weight=np.ones(n), wavenumber=K, width=0.002
    )


def test_right_and_opposite_sense_are_told_apart() -> None:
    right = _decide(*_nodes(reach=0.8, error=0.003, mirrored=False))
    opposite = _decide(*_nodes(reach=0.8, error=0.003, mirrored=True))
    assert right.keep
    assert not opposite.keep
    assert right.sigmas > 4.0
    assert np.isclose(opposite.sigmas, -right.sigmas)
    assert "clear" in right.sentence()
    assert "clear" in opposite.sentence()


def test_a_flat_sphere_tells_nothing_and_that_is_said() -> None:
    """Below 0.1 Å⁻¹ the sphere bends by 0.0001 Å⁻¹, far less than the sweep."""
    sense = _decide(*_nodes(reach=0.1, error=0.003, mirrored=False))
    assert abs(sense.sigmas) < 4.0
    assert "clear" not in sense.sentence()


def test_many_spots_of_two_frames_are_two_votes() -> None:
    sense = _decide(*_nodes(reach=0.8, error=0.003, mirrored=False, frames=2, per_frame=300))
    assert sense.sigmas < 1.5
    assert "not decided" in sense.sentence()
