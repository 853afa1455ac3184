"""A frame with its gradient, and a whole refinement, beside diffBloch on the same frames, beams and steps.

Like is compared with like: the gradient of one sum over the frame's intensities by all parameters, in reverse on both
sides, as steps of a refinement use it. Beside it stands our time for the derivatives of every intensity by every
parameter, by the tilts and by the thickness, which s.u.s need and diffBloch does not give; it is taken once or twice in
a refinement. Both programs have one thickness, all beams of the frame at all steps, 32 bit and one thread; structure
factors are not timed.
"""

from __future__ import annotations

import os
import resource
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import numpy as np

from pipeline.refinement.dynamical import refine_dynamical
from pipeline.refinement.engine import FrameEngine
from pipeline.refinement.frames import FrameData, exposure_directions
from pipeline.refinement.measured import read_series
from pipeline.refinement.parameters import parametrise
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameTask
from pipeline.types import Refinement
from twin.files.cif import read_crystal
from twin.model.crystal import Crystal
from twin.physics.lattice import Floats, Ints
from validation.engines.peers import THREADS, Peer, interpreter
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
from validation.refinement.cases import QUARTZ_CIF, QUARTZ_PETS
from validation.refinement.measured import thinned
from validation.rows import Row, at_least

EPOCHS = 40
EVERY = 8
_RECIPE = """name: quartz
inputs: {{structure: model.cif, exp_data: data.cif_pets, load_hydrogens: true}}
sample: {{thicknesses: [850.0]}}
blochwave: {{coupling_mode: union, absorption: false, g_max: 2.0, sg_max: 0.01, rocking_curve_sampling: 42,
  dsg: 0.0015, rsg: 0.9, ignore_orientations: {ignored}}}
preprocess:
  optimize_orientation: true
  optimize_thickness: false
  orientation:
    nelder_mead: {{step_size: 1, max_iterations: 60, x_tolerance: 0.001, f_tolerance: 0.001,
      penalize_fewer_reflections: true}}
loss_metrics: {{residual: wr2}}
refinement:
  steps: {epochs}
  thickness_nn: {{enabled: true, num_samples: 40, sample_thickness: false, form: min_thickness,
    min_thickness: 1000.0, max_thickness: 2000.0, init_seed: 0}}
  optimizer: {{name: adam, lr: 0.001}}
  trainable: {{positions: all, adp: all, occupancy: none}}
  split: {{train_test: false}}
"""


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
_ROTATED = DynamicalSettings(
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
        settings=_ROTATED,
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


def convergence_row(data: Path, folder: Path) -> list[Row]:
    """CPU seconds of a whole refinement of every eighth frame of quartz, orientations included, both from the file."""
    python = interpreter("diffBloch")
    if python is None:
        return []
    theirs, theirs_said = _diffbloch_refinement(Path(python).parent / "diffbloch", data, folder / "diffbloch")
    _refined_quartz(data)  # kernels are compiled once for each installation; the second run compiles nothing
    started = process_time()
    found, frames = _refined_quartz(data)
    ours = process_time() - started
    goal, met = at_least(theirs / ours, 10.0)
    return [
        Row(
            id="speed-convergence",
            quantity="quartz, every eighth frame: CPU of a refinement with orientations, times less",
            value=theirs / ours,
            unit="×",
            peer="diffBloch 0.2.0rc1, CPU s",
            peer_value=theirs,
            goal=goal,
            met=met,
            n=frames,
            note=f"ours {ours:.1f} CPU s with s.u.s, R(obs) {found.r_obs_percent:.2f} %, {found.verdict}; "
            f"theirs {EPOCHS} epochs without s.u.s, {theirs_said}",
        )
    ]


def _refined_quartz(data: Path) -> tuple[Refinement, int]:
    """The refinement from the files, and how many frames take part."""
    crystal = read_crystal(data / QUARTZ_CIF)
    series = thinned(read_series(data / QUARTZ_PETS, hall=crystal.hall), every=EVERY)
    settings = replace(_ROTATED, r_s_g_max=0.9, d_s_g_min_per_angstrom=0.0015, thickness_scan_nm=(10.0, 200.0))
    found = refine_dynamical(
        model=crystal,
        orientation=series.orientation,
        reflections=series.reflections,
        settings=replace(settings, orientation_sd_deg=0.3, thickness_model="wedge"),
    )
    return found, int(series.orientation.indexed.sum())


def _diffbloch_refinement(command: Path, data: Path, folder: Path) -> tuple[float, str]:
    """CPU seconds of its command with its own recipe for these data, and the R(obs) that it reports."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.cif_pets").write_bytes((data / QUARTZ_PETS).read_bytes())
    (folder / "model.cif").write_bytes((data / QUARTZ_CIF).read_bytes())
    ignored = [i for i in range(99) if i % EVERY != EVERY // 2]
    (folder / "experiment.yaml").write_text(_RECIPE.format(ignored=ignored, epochs=EPOCHS), encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | dict.fromkeys(THREADS, "1")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [str(command), "refine", str(folder), "--device", "cpu", "--no-checkpoint"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = done.stdout + done.stderr
    if done.returncode != 0:
        raise RuntimeError(f"diffbloch refine ended with {done.returncode}: {said[-300:]}")
    report = folder / "refinement_report.txt"
    lines = report.read_text(encoding="utf-8").splitlines() if report.is_file() else said.splitlines()
    r_obs = next((line.split(")")[-1].split("[")[0].strip() for line in lines if line.startswith("R_obs")), "?")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, f"R(obs) {r_obs} %"
