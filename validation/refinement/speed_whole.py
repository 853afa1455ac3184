"""A whole refinement beside diffBloch's on the same frames, beams and steps: CPU seconds to convergence."""

from __future__ import annotations

import os
import resource
import subprocess
from dataclasses import replace
from pathlib import Path
from time import process_time

from pipeline.refinement.dynamical import refine_dynamical
from pipeline.refinement.measured import read_series
from pipeline.types import Refinement
from twin.files.cif import read_crystal
from validation.engines.peers import THREADS, interpreter
from validation.refinement.cases import QUARTZ_CIF, QUARTZ_PETS
from validation.refinement.measured import thinned
from validation.refinement.speed import ROTATED
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


def convergence_rows(data: Path, folder: Path) -> list[Row]:
    """CPU seconds of a whole refinement of every eighth frame of quartz, orientations included, both from the file.

    Neither time has the start of a process and its imports in it. diffBloch's thickness depends on the orientation (a
    network); ours is one for all frames, and in a second row one for each frame, which is the like of it.
    """
    python = interpreter("diffBloch")
    if python is None:
        return []
    command = Path(python).parent / "diffbloch"
    start = _child_seconds([str(command), "refine", "--help"])[0]
    theirs, theirs_said = _diffbloch_refinement(command, data, folder / "diffbloch")
    return [
        _convergence_row(
            data, per_frame=per_frame, theirs=theirs - start, said=f"{theirs_said}; start {start:.1f} s more"
        )
        for per_frame in (False, True)
    ]


def _convergence_row(data: Path, *, per_frame: bool, theirs: float, said: str) -> Row:
    _refined_quartz(data, per_frame=per_frame)  # kernels are compiled once for each installation, before what is timed
    started = process_time()
    found, frames = _refined_quartz(data, per_frame=per_frame)
    ours = process_time() - started
    goal, met = at_least(theirs / ours, 10.0)
    thickness = "a thickness for each frame" if per_frame else "one thickness"
    return Row(
        id="speed-convergence" + "-per-frame" * per_frame,
        quantity=f"quartz, every eighth frame, {thickness}: CPU of a refinement with orientations, times less",
        value=theirs / ours,
        unit="×",
        peer="diffBloch 0.2.0rc1, thickness by orientation, CPU s",
        peer_value=theirs,
        goal=goal,
        met=met,
        n=frames,
        note=f"ours {ours:.1f} CPU s with s.u.s, R(obs) {found.r_obs_percent:.2f} %, {found.verdict}; "
        f"theirs {EPOCHS} epochs without s.u.s, {said}",
    )


def _refined_quartz(data: Path, *, per_frame: bool = False) -> tuple[Refinement, int]:
    """The refinement from the files, and how many frames take part."""
    crystal = read_crystal(data / QUARTZ_CIF)
    series = thinned(read_series(data / QUARTZ_PETS, hall=crystal.hall), every=EVERY)
    settings = replace(ROTATED, r_s_g_max=0.9, d_s_g_min_per_angstrom=0.0015, thickness_scan_nm=(10.0, 200.0))
    found = refine_dynamical(
        model=crystal,
        orientation=series.orientation,
        reflections=series.reflections,
        settings=replace(settings, orientation_sd_deg=0.3, thickness_model="wedge", thickness_per_frame=per_frame),
    )
    return found, int(series.orientation.indexed.sum())


def _child_seconds(arguments: list[str]) -> tuple[float, str]:
    """CPU seconds of a command with one thread, and what it said."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | dict.fromkeys(THREADS, "1")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = done.stdout + done.stderr
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments[:2])} ended with {done.returncode}: {said[-300:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, said


def _diffbloch_refinement(command: Path, data: Path, folder: Path) -> tuple[float, str]:
    """CPU seconds of its command with its own recipe for these data, and the R(obs) that it reports."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.cif_pets").write_bytes((data / QUARTZ_PETS).read_bytes())
    (folder / "model.cif").write_bytes((data / QUARTZ_CIF).read_bytes())
    ignored = [i for i in range(99) if i % EVERY != EVERY // 2]
    (folder / "experiment.yaml").write_text(_RECIPE.format(ignored=ignored, epochs=EPOCHS), encoding="utf-8")
    seconds, said = _child_seconds([str(command), "refine", str(folder), "--device", "cpu", "--no-checkpoint"])
    report = folder / "refinement_report.txt"
    lines = report.read_text(encoding="utf-8").splitlines() if report.is_file() else said.splitlines()
    r_obs = next((line.split(")")[-1].split("[")[0].strip() for line in lines if line.startswith("R_obs")), "?")
    return seconds, f"R(obs) {r_obs} %"
