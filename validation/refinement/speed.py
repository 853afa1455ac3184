"""A frame with its gradient beside diffBloch on the same frames, beams and steps.

Like is compared with like: the gradient of one sum over the frame's intensities by all parameters, in reverse on both
sides, as steps of a refinement use it. Beside it stands our time for the derivatives of every intensity by every
parameter, by the tilts and by the thickness, which s.u.s need and diffBloch does not give; it is taken once or twice in
a refinement. Both programs have one thickness, all beams of the frame at all steps, 32 bit and one thread; structure
factors are not timed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import numpy as np

from pipeline.refinement.engine import FrameEngine
from pipeline.refinement.frames import FrameData, exposure_directions
from pipeline.refinement.parameters import parametrise
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameTask
from twin.model.crystal import Crystal
from twin.physics.lattice import Floats, Ints
from validation.engines.peers import Peer, interpreter
from validation.engines.problem import (
    BROOKITE,
    ENERGY_KEV,
    IN2O3,
    QUARTZ,
    TILTED,
    Problem,
    beam_lists,
    table_without_mean,
    write_problem,
)
from validation.rows import Row, at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedCase:
    """A frame: semi_angle_deg of the precession, or half of the rotation range. goal: times faster."""

    id: str
    title: str
    crystal: Crystal
    settings: DynamicalSettings
    semi_angle_deg: float
    thickness_angstrom: float
    goal: float


_PRECESSED = DynamicalSettings(g_max_per_angstrom=1.6, s_g_max_per_angstrom=0.01, steps=64, thickness_model="slab")
ROTATED = DynamicalSettings(
    mode="continuous",
    g_max_per_angstrom=2.0,
    s_g_max_per_angstrom=0.01,
    steps=42,
    thickness_model="slab",
    anisotropic=True,
)
CASES = (
    SpeedCase(
        id="quartz-100",
        title="quartz 100 nm, 42 steps over 2°",
        crystal=QUARTZ,
        settings=ROTATED,
        semi_angle_deg=1.0,
        thickness_angstrom=1000.0,
        goal=3.0,
    ),
    SpeedCase(
        id="ito-10",
        title="In2O3 10 nm, 64 steps of 1.2° precession",
        crystal=IN2O3,
        settings=_PRECESSED,
        semi_angle_deg=1.2,
        thickness_angstrom=100.0,
        goal=10.0,
    ),
    SpeedCase(
        id="brookite-30",
        title="brookite 30 nm, 64 steps of 1.2° precession",
        crystal=BROOKITE,
        settings=replace(_PRECESSED, s_g_max_per_angstrom=0.02),
        semi_angle_deg=1.2,
        thickness_angstrom=300.0,
        goal=10.0,
    ),
)


def frame_task(case: SpeedCase) -> tuple[FrameEngine, FrameTask, Problem]:
    """Our frame with all derivatives, and the same as a problem for a peer; every crossed reflection is wanted."""
    s = case.settings
    directions = exposure_directions(
        mode=s.mode, semi_angle_deg=case.semi_angle_deg, steps=s.steps, tilt_axis_deg=20.0
    )
    problem = Problem(
        crystal=case.crystal,
        rotation=TILTED,
        directions=directions,
        thickness_angstrom=np.array([case.thickness_angstrom]),
        g_max_per_angstrom=s.g_max_per_angstrom,
        s_max_per_angstrom=s.s_g_max_per_angstrom,
        table=table_without_mean(case.crystal, s.g_max_per_angstrom),
    )
    hkl = _crossed(beam_lists(problem), problem.reciprocal_lab, directions)
    ones = np.ones(len(hkl))
    frame = FrameData(
        index=0,
        hkl=hkl,
        intensity=ones,
        sigma=ones,
        weights=ones,
        reciprocal_lab=problem.reciprocal_lab,
        directions=directions,
    )
    parametrisation = parametrise(case.crystal, anisotropic=s.anisotropic)
    engine = FrameEngine(parametrisation=parametrisation, settings=s, energy_kev=ENERGY_KEV)
    task = FrameTask(
        frame=frame,
        values=parametrisation.start,
        thickness_angstrom=case.thickness_angstrom,
        tilt_deg=np.zeros(2),
        structure=True,
        orientation=True,
        thickness=True,
    )
    return engine, task, problem


def _crossed(lists: list[Ints], lab: Floats, directions: Floats) -> Ints:
    """Beams whose Bragg condition is met during the exposure: what a data set would hold of the frame, (M, 3)."""
    hkl = np.unique(np.concatenate(lists), axis=0)
    hkl = hkl[hkl.any(axis=1)]
    g = hkl @ lab.T
    along = g @ directions.T + (np.sum(g**2, axis=1) / (2 * 39.87))[:, None]
    return np.asarray(hkl[(along.min(axis=1) < 0) & (along.max(axis=1) > 0)])


def frame_rows(folder: Path, *, repeats: int) -> list[Row]:
    """Seconds of a frame with its derivatives beside diffBloch's gradient, interleaved; none without diffBloch."""
    if interpreter("diffBloch") is None:
        return []
    rows = []
    folder.mkdir(parents=True, exist_ok=True)
    with Peer.start("diffBloch") as peer:
        for case in CASES:
            engine, task, problem = frame_task(case)
            path = folder / f"{case.id}.npz"
            write_problem(path, problem)
            found = np.array([_times(engine, task, peer, path) for _ in range(repeats + 1)])[1:]
            rows += _case_rows(case, found, version=peer.version, about=_about(engine, task))
    return rows


def _times(engine: FrameEngine, task: FrameTask, peer: Peer, path: Path) -> tuple[float, float, float]:
    """CPU seconds of our gradient, of all our derivatives, and of the peer's gradient."""
    ours = []
    for asked in (replace(task, descent=True), task):
        started = process_time()
        engine.evaluate(asked)
        ours.append(process_time() - started)
    return ours[0], ours[1], peer.run(problem=path, work="batched_gradient")


def _about(engine: FrameEngine, task: FrameTask) -> str:
    parameters = len(task.values) + 3
    return f"{parameters} parameters, {len(task.frame.hkl)} intensities, {len(engine.beams_of(task.frame))} beams"


def _case_rows(case: SpeedCase, found: Floats, *, version: str, about: str) -> list[Row]:
    """Two rows from times (n, 3): gradient against gradient, and all derivatives against the peer's gradient."""
    gradient, derivatives, theirs = np.median(found, axis=0)
    ratio = float(np.median(found[:, 2] / found[:, 0]))
    goal, met = at_least(ratio, case.goal)
    slopes = Row(
        id=f"speed-{case.id}",
        quantity=f"{case.title}: a frame with its gradient, times faster",
        value=ratio,
        unit="×",
        peer=f"diffBloch {version}, CPU s",
        peer_value=float(theirs),
        goal=goal,
        met=met,
        n=len(found),
        note=f"ours {gradient:.4f} CPU s; {about}",
    )
    everything = replace(
        slopes,
        id=f"speed-{case.id}-all",
        quantity=f"{case.title}: derivatives of every intensity, times faster than the gradient of one sum",
        value=float(np.median(found[:, 2] / found[:, 1])),
        goal="",
        met=None,
        note=f"ours {derivatives:.3f} CPU s: what s.u.s need, no counterpart there",
    )
    return [slopes, everything]
