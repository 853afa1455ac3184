"""χ² as a sum of terms: its slopes against differences, its matrices against the full one, and honest s.u.s."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.refinement.frames import select_frames
from pipeline.refinement.least_squares import covariance_of
from pipeline.refinement.parameters import parametrise
from pipeline.refinement.pool import frame_map
from pipeline.refinement.problem import Layout, Problem, frame_tasks, state_at
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.terms import FrameTerms, Slopes
from pipeline.refinement.uncertainty import clustered_covariance, honest_covariance
from twin.physics.lattice import Floats

SETTINGS = DynamicalSettings(
    g_max_per_angstrom=0.9, steps=12, s_g_max_per_angstrom=0.02, single_precision=False, mosaic_blocks=3,
    mosaicity_deg=0.12, bond_sd_angstrom=0.02, u_sd_angstrom2=0.005,
)  # fmt: skip


def _terms(crystals, tools, settings: DynamicalSettings, *, few_beams: bool):  # type: ignore[no-untyped-def]
    """Terms of two frames at a point that is no minimum, everything refined."""
    model = crystals["brookite"]
    swept = {"semi_angle_deg": 2.5} if settings.mode == "continuous" else {}
    series = tools["simulate"](
        model, settings=settings, thickness_angstrom=120.0, frames=2, step_deg=20.0, noise=0.05, **swept
    )
    p = parametrise(tools["displaced"](model, by_angstrom=0.02))
    frames = select_frames(
        orientation=series.orientation, reflections=series.reflections, settings=settings, hall=model.hall
    )
    layout = Layout(
        structure=len(p), thicknesses=2 if settings.thickness_per_frame else 1, tilts=2, frames=2,
        mosaicity=int(settings.refine_mosaicity),
    )  # fmt: skip
    energy = series.orientation.microscope.beam.energy_kev
    context = frame_map(parametrisation=p, settings=settings, energy_kev=energy)
    state = state_at(
        layout, frames=frames, values=p.start, thickness_angstrom=np.array([115.0, 115.0]), mosaicity_deg=0.12
    )

    def make(mapped) -> tuple[FrameTerms, Problem]:  # type: ignore[no-untyped-def]
        problem = Problem(
            parametrisation=p, layout=layout, settings=settings, mapped=mapped, note=lambda *a: None,
            few_beams=few_beams,
        )  # fmt: skip
        return FrameTerms(problem, state), problem

    return context, make, state


@pytest.mark.parametrize(
    "change",
    [
        {"refine_mosaicity": True, "thickness_per_frame": True, "restrain_orientations": True},
        {"mode": "continuous", "thickness_model": "wedge", "few_beams": True, "refine_mosaicity": True},
        {"kinematical": True, "refine_mosaicity": True},
    ],
)
def test_descents_are_those_of_differences(crystals, tools, change: dict[str, object]) -> None:  # type: ignore[no-untyped-def]
    few_beams = bool(change.pop("few_beams", False))
    settings = replace(SETTINGS, **change)  # type: ignore[arg-type]
    context, make, state = _terms(crystals, tools, settings, few_beams=few_beams)
    with context as mapped:
        terms, _ = make(mapped)
        start = state.point[: terms.free].copy()
        start[-4:] = [0.03, -0.02, 0.01, 0.04]
        at = terms.evaluate(start)
        found = np.zeros(terms.free)
        for where, descent in zip(terms.columns, at.descents, strict=True):
            found[where] += descent
        step = 1e-5
        expected = np.array(
            [
                -0.5 * (terms.evaluate(start + h).total - terms.evaluate(start - h).total) / (2 * step)
                for h in step * np.eye(terms.free)
            ]
        )
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-6 * np.abs(expected).max())


def test_matrices_of_terms_are_what_the_full_one_leaves_without_scales(crystals, tools) -> None:  # type: ignore[no-untyped-def]
    context, make, state = _terms(crystals, tools, SETTINGS, few_beams=False)
    with context as mapped:
        terms, problem = make(mapped)
        start = state.point[: terms.free]
        slopes = terms.slopes(start)
        full = terms.normal(start, slopes)
        together = np.zeros((terms.free, terms.free))
        for where, matrix in zip(terms.columns, terms.matrices(start, slopes), strict=True):
            together[np.ix_(where, where)] += matrix
        at = terms.evaluate(start)
    free, scales = slice(0, terms.free), slice(terms.free, problem.layout.size)
    schur = full[free, free] - full[free, scales] @ np.linalg.inv(full[scales, scales]) @ full[scales, free]
    np.testing.assert_allclose(together, schur, rtol=1e-9, atol=1e-12 * np.abs(schur).max())
    for slope, descent in zip(slopes, at.descents, strict=False):
        expected = slope.rows[:-1] @ (slope.weights * slope.residual)
        np.testing.assert_allclose(descent, expected, rtol=1e-5, atol=1e-7 * np.abs(expected).max())


def _line(rng: np.random.Generator, common: float, own: float) -> tuple[float, Floats, list[Slopes]]:
    """(p, normal matrix, slopes) of y = p x with p = 0 and what the 30 points of each of 20 frames have in common."""
    x = rng.normal(1.0, 0.3, size=(20, 30))
    y = common * rng.normal(size=(20, 1)) + own * rng.normal(size=(20, 30))
    p = float((x * y).sum() / (x * x).sum())
    slopes = [
        Slopes(columns=np.array([0]), rows=a[None], residual=b - p * a, weights=np.ones(30))
        for a, b in zip(x, y, strict=True)
    ]
    return p, np.array([[float((x * x).sum())]]), slopes


def test_terms_carry_the_intensities_that_frames_have_there(crystals, tools) -> None:  # type: ignore[no-untyped-def]
    """Those of the slope's forward half are those of intensities alone, and scaled best they make up χ²."""
    settings = replace(SETTINGS, bond_sd_angstrom=None, u_sd_angstrom2=None)
    context, make, state = _terms(crystals, tools, settings, few_beams=False)
    with context as mapped:
        terms, problem = make(mapped)
        found = terms.evaluate(state.point[: terms.free])
        alone = mapped(frame_tasks(problem, state))
    for frame, chi2, ours, result in zip(state.frames, found.chi2, found.calculated, alone, strict=True):
        np.testing.assert_allclose(ours, result.intensity, rtol=1e-8, atol=1e-12)
        scale = (frame.weights * frame.intensity) @ ours / ((frame.weights * ours) @ ours)
        assert chi2 == pytest.approx(frame.weights @ (frame.intensity - scale * ours) ** 2, rel=1e-9)


@pytest.mark.parametrize(("common", "own"), [(0.0, 1.0), (1.0, 0.5)])
def test_clusters_give_the_scatter_of_repeated_experiments(common: float, own: float) -> None:
    """The square of p over its variance is 1 on average, whether frames have an error in common or not."""
    rng, clusters = np.random.default_rng(5), (np.repeat(np.arange(20), 30), np.arange(600))
    pulls = []
    for _ in range(300):
        p, normal, slopes = _line(rng, common, own)
        clustered = clustered_covariance(inverse=np.linalg.inv(normal), slopes=slopes, clusters=clusters)[0, 0]
        factor = sum(float(s.residual @ s.residual) for s in slopes) / 599
        honest = honest_covariance(normal=normal, slopes=slopes, clusters=clusters, factor=factor)[0][0, 0]
        pulls.append(np.square(p) / [clustered, factor / normal[0, 0], honest])
        assert honest == pytest.approx(max(clustered, factor / normal[0, 0]))
    clustered, plain, honest = np.mean(pulls, axis=0)
    assert 0.75 < clustered < 1.4
    assert 0.6 < honest < 1.4
    assert plain > 5.0 if common else 0.75 < plain < 1.3


def test_what_is_not_determined_stays_so() -> None:
    normal = np.array([[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    slopes = [
        Slopes(columns=np.arange(3), rows=np.ones((3, 4)), residual=np.ones(4), weights=np.ones(4)) for _ in range(2)
    ]
    covariance, lost = honest_covariance(
        normal=normal, slopes=slopes, clusters=(np.repeat([0, 1], 4), np.arange(8)), factor=1.0
    )
    assert lost == covariance_of(normal)[1] == (0, 1)
    assert np.isinf(covariance[0, 0])
    assert covariance[2, 2] >= 1.0
