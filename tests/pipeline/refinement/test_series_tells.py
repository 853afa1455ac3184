"""What a series says of itself: how far the orientations given are off, and the mosaicity, from a poor start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.refinement.dynamical import refine_dynamical
from pipeline.refinement.engine import FrameEngine
from pipeline.refinement.frames import select_frames
from pipeline.refinement.parameters import parametrise
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameTask

SETTINGS = DynamicalSettings(
    mode="continuous", g_max_per_angstrom=1.0, steps=24, s_g_max_per_angstrom=0.02, kinematical=True,
    thickness_model="wedge", thickness_nm=60.0, restrain_orientations=True, estimate_orientation_sd=True,
)  # fmt: skip
PRECESSED = replace(SETTINGS, mode="precession", thickness_nm=30.0)


@pytest.mark.parametrize("jitter_deg", [0.02, 0.1])
def test_the_spread_of_orientations_is_found(jitter_deg: float, crystals, tools) -> None:  # type: ignore[no-untyped-def]
    """From a guess of 0.2°: within 35 % of the rms of 12 frames' true turns about x and y (24 numbers)."""
    series = tools["simulate"](
        crystals["brookite"], settings=PRECESSED, thickness_angstrom=300.0, frames=12, step_deg=6.0, noise=0.02,
        jitter_deg=jitter_deg, seed=3,
    )  # fmt: skip
    said: dict[str, float] = {}
    refine_dynamical(
        model=tools["displaced"](crystals["brookite"], by_angstrom=0.02), orientation=series.orientation,
        reflections=series.reflections, settings=replace(PRECESSED, orientation_sd_deg=0.2),
        progress=lambda stage, cycle, value: said.update({stage: value}),
    )  # fmt: skip
    turn = series.true_rotation @ np.swapaxes(series.orientation.rotation, 1, 2)
    true = np.degrees(np.sqrt(np.mean([turn[:, 2, 1] ** 2, turn[:, 0, 2] ** 2])))
    assert said["spread"] == pytest.approx(true, rel=0.35)


def test_mosaicity_is_found_from_a_third_of_it(crystals, tools) -> None:  # type: ignore[no-untyped-def]
    model = crystals["brookite"]
    settings = replace(
        SETTINGS, mosaicity_deg=0.24, mosaic_blocks=5, refine_mosaicity=True, refine_orientations=False,
        thickness_nm=None, thickness_scan_nm=(20.0, 100.0),
    )  # fmt: skip
    series = tools["simulate"](
        model, settings=settings, thickness_angstrom=600.0, frames=6, step_deg=9.0, jitter_deg=0.0
    )
    parametrisation, r = parametrise(model), series.reflections
    engine = FrameEngine(parametrisation=parametrisation, settings=settings, energy_kev=200.0)
    intensity = np.zeros(len(r.hkl))
    for f in select_frames(orientation=series.orientation, reflections=r, settings=settings, hall=model.hall):
        task = FrameTask(
            frame=f, values=parametrisation.start, thickness_angstrom=600.0, tilt_deg=np.zeros(2), mosaicity_deg=0.24
        )
        rows = r.hkl[r.frame == f.index]
        place = {tuple(h): i for i, h in zip(np.flatnonzero(r.frame == f.index), rows.tolist(), strict=True)}
        intensity[[place[tuple(h)] for h in f.hkl.tolist()]] = 1e6 * engine.evaluate(task).intensity
    data = replace(r, intensity=intensity, sigma=np.where(intensity > 0, 0.01 * intensity + 1e-9, np.inf))
    found = refine_dynamical(
        model=model, orientation=series.orientation, reflections=data,
        settings=replace(settings, mosaicity_deg=0.08),
    )  # fmt: skip
    assert found.mosaicity_deg == pytest.approx(0.24, rel=0.01)
    assert found.thickness_nm == pytest.approx(60.0, rel=0.01)
