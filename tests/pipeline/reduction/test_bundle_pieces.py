"""The parts of the joint refinement: derivatives, elimination of frames, how far frames stray, distortions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.reduction.distortion import Distortion, distorted, undistorted
from pipeline.reduction.geometry import Geometry, metric_freedom, predicted_px, stepped
from pipeline.reduction.normal import Normal, Prior, frame_variances, normal_equations, solve
from pipeline.reduction.observations import unique_hkl
from pipeline.reduction.position_rows import OWN, excitation_rows, position_rows
from pipeline.reduction.predict import Sweep, excitation, near_sphere
from twin.model.crystal import Cell
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import reciprocal_matrix

CELL = Cell(a_angstrom=9.2, b_angstrom=5.4, c_angstrom=7.1, beta_deg=101.0)


@pytest.fixture
def geometry(synthetic) -> Geometry:
    rng = np.random.default_rng(4)
    microscope = synthetic.nominal_microscope()
    projection = replace(microscope.projection, ellipse_percent=0.7, ellipse_azimuth_deg=20.0)
    return Geometry(
        ub=Rotation.random(random_state=3).as_matrix() @ reciprocal_matrix(CELL),
        centre_px=256.0 + rng.normal(size=(3, 2)),
        turn=Rotation.from_rotvec(0.002 * rng.normal(size=(3, 3))).as_matrix(),
        alpha_deg=np.array([-40.0, 5.0, 33.0]),
        microscope=replace(microscope, projection=projection),
    )


def _moved(geometry: Geometry, which: int, amount: float, freedom) -> Geometry:
    shared = np.zeros(10 + len(freedom))
    shared[which] = amount
    nothing = np.zeros((3, 3))
    return stepped(
        geometry=geometry, shared=shared, centre=nothing[:, :2], turn=nothing, freedom=freedom, rotations=None
    )


def test_derivatives_are_those_of_the_prediction(geometry) -> None:
    hkl = np.array([[1, 2, 3], [4, -1, 2], [-5, 1, 1], [2, 3, -4]])
    frame = np.array([0, 1, 2, 1])
    freedom = metric_freedom(None)
    common, own = position_rows(geometry=geometry, hkl=hkl, frame=frame, freedom=freedom)
    step = 1e-6
    for k in range(common.shape[2]):
        high, low = (
            predicted_px(geometry=_moved(geometry, k, x, freedom), hkl=hkl, frame=frame)[0] for x in (step, -step)
        )
        numeric = (high - low) / (2 * step)
        scale = np.max(np.abs(numeric)) + 1e-9
        tolerance = 0.02 if k >= 4 + len(freedom) else 1e-4  # ellipse and harmonics act on each other, a little
        assert np.allclose(common[:, :, k], numeric, atol=tolerance * scale), k
    for k in range(3):
        turn = np.zeros((3, 3))
        turn[:, k] = step
        moved = stepped(
            geometry=geometry,
            shared=np.zeros(10 + len(freedom)),
            centre=np.zeros((3, 2)),
            turn=turn,
            freedom=freedom,
            rotations=None,
        )
        numeric = (
            predicted_px(geometry=moved, hkl=hkl, frame=frame)[0]
            - predicted_px(geometry=geometry, hkl=hkl, frame=frame)[0]
        ) / step
        assert np.allclose(own[:, :, 2 + k], numeric, atol=1e-3 * np.max(np.abs(numeric)) + 1e-3)


def test_derivatives_of_the_excitation_error(geometry) -> None:
    hkl, frame = np.array([[1, 2, 3], [4, -1, 2], [-5, 1, 1]]), np.array([0, 1, 2])
    freedom = metric_freedom(None)
    common, own = excitation_rows(geometry=geometry, hkl=hkl, frame=frame, metric_parameters=len(freedom), terms=6)
    k = wavenumber_per_angstrom(energy_kev=200.0)
    sweep = Sweep(mode="continuous", half_angle_deg=0.1, tilt_axis_deg=32.0, wavenumber=k)

    def s_of(g: Geometry) -> np.ndarray:
        return excitation(g_lab=predicted_px(geometry=g, hkl=hkl, frame=frame)[1], sweep=sweep)[0]

    for which in (0, 1, 2, 3 + len(freedom)):
        numeric = (s_of(_moved(geometry, which, 1e-6, freedom)) - s_of(_moved(geometry, which, -1e-6, freedom))) / 2e-6
        assert np.allclose(common[:, which], numeric, atol=1e-6)
    for axis in range(3):
        turn = np.zeros((3, 3))
        turn[:, axis] = 1e-6
        turned = replace(geometry, turn=Rotation.from_rotvec(turn).as_matrix() @ geometry.turn)
        assert np.allclose(own[:, 2 + axis], (s_of(turned) - s_of(geometry)) / 1e-6, atol=1e-5)


def _random_problem(rng, frames: int, per_frame: int, c: int, s: int):
    n = frames * per_frame
    frame = np.repeat(np.arange(frames), per_frame)
    common, single = rng.normal(size=(n, c)), rng.normal(size=(n, s))
    return common, single, frame, rng.uniform(0.5, 2.0, size=n)


def test_eliminating_frames_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    common, single, frame, weight = _random_problem(rng, 5, 12, 4, 2)
    residual = rng.normal(size=len(frame))
    prior = Prior(
        shared=np.array([0.0, 1.0, 0.0, 3.0]),
        shared_offset=rng.normal(size=4),
        own=np.array([2.0, 0.5]),
        own_offset=rng.normal(size=(5, 2)),
    )
    normal = normal_equations(common=common, single=single, residual=residual, weight=weight, frame=frame, frames=5)
    x, own = solve(normal, prior)
    full = np.zeros((len(frame), 14))
    full[:, :4] = common
    for n, f in enumerate(frame):
        full[n, 4 + 2 * f : 6 + 2 * f] = single[n]
    diagonal = np.concatenate([prior.shared, np.tile(prior.own, 5)])
    offsets = np.concatenate([prior.shared_offset, prior.own_offset.ravel()])
    expected = np.linalg.solve(
        full.T @ (weight[:, None] * full) + np.diag(diagonal), full.T @ (weight * residual) - diagonal * offsets
    )
    assert np.allclose(np.concatenate([x, own.ravel()]), expected, atol=1e-7)


@pytest.mark.parametrize("truth", [0.0, 0.3])
@pytest.mark.parametrize("overconfident", [1.0, 4.0])
def test_two_halves_tell_movement_from_noise(truth, overconfident) -> None:
    """Whatever the weights claim: noise alone is not taken for movement of the frames, and movement is found."""
    rng = np.random.default_rng(7)
    frames, per_frame = 400, 20
    moved = truth * rng.normal(size=(frames, 1))
    frame = np.repeat(np.arange(frames), per_frame)
    data = moved[frame, 0] + rng.normal(size=len(frame))
    halves = []
    for half in (0, 1):
        own = np.arange(len(frame)) % 2 == half
        m = int(own.sum())
        halves.append(
            normal_equations(
                common=np.zeros((m, 1)),
                single=np.ones((m, 1)),
                residual=data[own],
                weight=np.full(m, overconfident),
                frame=frame[own],
                frames=frames,
            )
        )
    both: tuple[Normal, Normal] = (halves[0], halves[1])
    sd = float(np.sqrt(frame_variances(halves=both, offset=np.zeros((frames, 1)), groups=((0,),))[0]))
    noise = 1.0 / np.sqrt(per_frame)
    assert abs(sd - truth) < 0.4 * noise if truth == 0 else abs(sd - truth) < 0.05


def test_distortion_and_its_inverse() -> None:
    rng = np.random.default_rng(2)
    points = rng.uniform(-250, 250, size=(100, 2))
    d = Distortion(parabolic_fast_percent=1.0, parabolic_slow_percent=-0.5, barrel_percent=2.0, spiral_percent=-1.0)
    assert np.allclose(distorted(undistorted(points, d), d), points, atol=1e-6)
    edge = np.array([[256.0, 0.0]])
    assert distorted(edge, Distortion(barrel_percent=1.0))[0] == pytest.approx([258.56, 0.0])
    assert distorted(edge, Distortion(spiral_percent=1.0))[0] == pytest.approx([256.0, 2.56])
    assert distorted(-edge, Distortion(parabolic_fast_percent=1.0))[0] == pytest.approx([-253.44, 0.0])


@pytest.mark.parametrize("mode", ["precession", "continuous", "stills"])
def test_prediction_finds_what_the_definition_says(mode) -> None:
    rng = np.random.default_rng(5)
    g_zero = rng.uniform(-1.5, 1.5, size=(4000, 3))
    rotation = Rotation.random(random_state=1).as_matrix()
    k = wavenumber_per_angstrom(energy_kev=200.0)
    sweep = Sweep(mode=mode, half_angle_deg=0.7, tilt_axis_deg=20.0, wavenumber=k)
    index, g, s, half = near_sphere(g_zero=g_zero, rotation=rotation, sweep=sweep, margin_per_angstrom=0.004)
    expected_s, expected_half = excitation(g_lab=g_zero @ rotation.T, sweep=sweep)
    assert np.array_equal(index, np.flatnonzero(np.abs(expected_s) < expected_half + 0.004))
    assert np.allclose(g, g_zero[index] @ rotation.T)
    assert np.allclose(s, expected_s[index])
    assert np.allclose(half, expected_half[index])


def test_rows_have_as_many_parameters_as_a_frame(geometry) -> None:
    _, own = position_rows(
        geometry=geometry, hkl=np.array([[1, 0, 0]]), frame=np.array([0]), freedom=metric_freedom(None)
    )
    assert own.shape == (1, 2, OWN)


def test_unique_indices_as_numpy_finds_them() -> None:
    hkl = np.random.default_rng(3).integers(-9, 9, size=(3000, 3))
    unique, inverse = unique_hkl(hkl)
    expected, number = np.unique(hkl, axis=0, return_inverse=True)
    assert np.array_equal(unique, expected)
    assert np.array_equal(inverse, np.asarray(number).reshape(-1))
    none, nothing = unique_hkl(np.zeros((0, 3), dtype=np.int64))
    assert none.shape == (0, 3)
    assert nothing.shape == (0,)
