"""The truth of a run, and the electrons that it would send to the detector: one atomic file for each exposure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenarios.build import actual_microscope, membrane, tilt_plan, true_crystal
from scenarios.persist import holds_key, load_npz, save_npz
from scenarios.runfolder import MATERIAL, RunFolder
from scenarios.schema import Scenario
from scenarios.stages.base import Context, Outcome, Stage
from twin.files.json import read_json, write_json
from twin.files.parallel import completed_stream
from twin.model.crystal import Crystal
from twin.model.instrument import Projection
from twin.model.plan import Plan
from twin.model.specimen import Particle, Pose
from twin.model.truth import Truth
from twin.physics.lattice import direct_matrix
from twin.simulate import Engine, expected_electrons
from twin.simulate.multislice import foresee
from twin.specimen.motion import make_poses
from twin.specimen.mounting import euler_mounting, lying_mounting, random_mounting
from twin.specimen.serial import serial_poses
from twin.specimen.streams import stream
from twin.specimen.wulff import polyhedron, wulff_half_spaces
from validation.view import TruthIntensities

TRUTH = "truth/truth.json"
EXPOSURES = "truth/exposures"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exposure:
    """What one exposure sends to the detector, before its response.

    image: (slow, fast) electrons. hkl (n, 3), electrons (n,), position_px (n, 2) and excitation_error_per_angstrom (n,)
    of the reflections in it.
    """

    image: NDArray[np.float32]
    hkl: NDArray[np.int64]
    electrons: NDArray[np.float64]
    position_px: NDArray[np.float64]
    excitation_error_per_angstrom: NDArray[np.float64]


def exposure_name(index: int) -> str:
    """Where exposure ``index`` lies in the run folder."""
    return f"{EXPOSURES}/{index:05d}.npz"


def load_truth(folder: RunFolder) -> Truth:
    """The truth of the run."""
    return read_json(Truth, folder.file(TRUTH))


def load_exposure(folder: RunFolder, index: int) -> Exposure:
    """One exposure, verified."""
    return load_npz(Exposure, folder.file(exposure_name(index)))


def load_truth_intensities(folder: RunFolder) -> TruthIntensities:
    """Electrons of each reflection on each frame, side by side."""
    count = len(load_truth(folder).poses)
    exposures = [load_exposure(folder, index) for index in range(count)]
    return TruthIntensities(
        hkl=np.concatenate([e.hkl for e in exposures]),
        frame=np.repeat(np.arange(count), [len(e.hkl) for e in exposures]),
        electrons=np.concatenate([e.electrons for e in exposures]),
    )


def engine_of(scenario: Scenario) -> Engine:
    """The forward engine that the scenario asks for."""
    table = scenario.engine
    return Engine(
        kind=table.kind,
        g_max_per_angstrom=table.g_max_per_angstrom,
        s_max_per_angstrom=table.s_max_per_angstrom,
        azimuth_steps=table.azimuth_steps,
        rotation_steps=table.rotation_steps,
        thickness_nodes=table.thickness_nodes,
        absorption=table.absorption,
        dtype="float32" if table.precision == "single" else "float64",
        slice_angstrom=table.slice_angstrom,
        phonon_configurations=table.phonon_configurations,
        film_as_atoms=table.film_as_atoms,
    )


def make_truth(scenario: Scenario, cif_path: Path) -> Truth:
    """Draw everything that the scenario leaves to chance: how the particle lies, and what happens at each frame."""
    crystal, microscope, plan = true_crystal(scenario, cif_path), actual_microscope(scenario), tilt_plan(scenario)
    return Truth(
        crystal=crystal,
        particle=_particle(scenario, crystal),
        membrane=membrane(scenario),
        microscope=microscope,
        plan=plan,
        poses=_poses(scenario, plan, microscope.projection),
        seed=scenario.seed,
    )


def _poses(scenario: Scenario, plan: Plan, projection: Projection) -> tuple[Pose, ...]:
    deviations, centre_px = scenario.actual, (projection.centre_fast_px, projection.centre_slow_px)
    if plan.mode == "serial":
        return serial_poses(
            plan=plan,
            centre_px=centre_px,
            seed=scenario.seed,
            motion_deg=deviations.motion_deg,
            centre_drift_px=deviations.centre_drift_px,
            position_spread_nm=deviations.position_runout_nm,
            intensity_sd_percent=deviations.intensity_sd_percent,
        )
    return make_poses(
        plan=plan,
        tilt_axis_deg=projection.tilt_axis_deg,
        centre_px=centre_px,
        seed=scenario.seed,
        orientation_jitter_deg=deviations.orientation_jitter_deg,
        centre_drift_px=deviations.centre_drift_px,
        position_drift_nm=deviations.position_drift_nm,
        position_runout_nm=deviations.position_runout_nm,
        intensity_sd_percent=deviations.intensity_sd_percent,
    )


def _particle(scenario: Scenario, crystal: Crystal) -> Particle:
    table = scenario.particle
    generator = stream(scenario.seed, "mounting")
    if table.mounting == "fixed":
        z, x, z2 = table.mounting_euler_deg
        mounting = euler_mounting(z_deg=z, x_deg=x, z2_deg=z2)
    elif table.mounting == "lying":
        mounting = lying_mounting(generator, long_axis=direct_matrix(crystal.cell) @ np.array(table.axis_uvw))
    else:
        mounting = random_mounting(generator)
    if table.shape == "polyhedron":
        faces = [(face.hkl, face.energy) for face in table.faces]
        half_spaces = wulff_half_spaces(
            faces=faces,
            cell=crystal.cell,
            hall=crystal.hall,
            diameter_nm=table.size_nm[0],
            axis_uvw=table.axis_uvw,
        )
        return polyhedron(
            half_spaces=half_spaces,
            axis_uvw=table.axis_uvw,
            mounting=mounting,
            mosaicity_deg=table.mosaicity_deg,
            bending_deg_per_nm=table.bending_deg_per_nm,
        )
    return Particle(
        shape=table.shape,
        size_nm=table.size_nm,
        axis_uvw=table.axis_uvw,
        mounting=mounting,
        mosaicity_deg=table.mosaicity_deg,
        bending_deg_per_nm=table.bending_deg_per_nm,
    )


def _settings(scenario: Scenario) -> Mapping[str, object]:
    tables = scenario.model_dump(
        include={"seed", "material", "particle", "membrane", "instrument", "actual", "acquisition", "engine"}
    )
    del tables["material"]["cif"]
    return tables


def _work(context: Context, crystal_path: Path) -> Outcome:
    truth = make_truth(context.scenario, crystal_path)
    write_json(context.file(TRUTH), truth)
    folder, names = context.file(EXPOSURES), [exposure_name(pose.index) for pose in truth.poses]
    folder.mkdir(parents=True, exist_ok=True)
    for stray in set(folder.iterdir()) - {context.file(name) for name in names}:
        stray.unlink()
    missing = [pose for pose in truth.poses if not holds_key(context.file(exposure_name(pose.index)), context.key)]
    context.progress.begin("simulate", total=len(truth.poses))
    context.progress.advance(len(truth.poses) - len(missing))
    engine = engine_of(context.scenario)
    if engine.kind == "multislice" and missing:
        context.progress.say(foresee(truth=truth, engine=engine))
    expose = partial(_expose, truth=truth, engine=engine, folder=context.folder, key=context.key)
    for _ in completed_stream(expose, missing, workers=context.workers):
        context.progress.advance()
    kept = len(truth.poses) - len(missing)
    return Outcome(outputs=(TRUTH, *names), notes=(f"kept {kept} of {len(names)} exposures",) if kept else ())


def _expose(pose: Pose, *, truth: Truth, engine: Engine, folder: RunFolder, key: str) -> int:
    frame = expected_electrons(truth=truth, pose=pose, engine=engine)
    exposure = Exposure(
        image=np.asarray(frame.image, dtype=np.float32),
        hkl=np.asarray(frame.hkl, dtype=np.int64),
        electrons=np.asarray(frame.intensity_e, dtype=np.float64),
        position_px=np.asarray(frame.position_px, dtype=np.float64),
        excitation_error_per_angstrom=np.asarray(frame.excitation_error, dtype=np.float64),
    )
    save_npz(folder.file(exposure_name(pose.index)), exposure, key=key)
    return pose.index


STAGE = Stage(
    name="simulate",
    title="Simulation",
    sources=(
        "twin/model",
        "twin/physics",
        "twin/specimen",
        "twin/simulate",
        "twin/files/cif",
        "scenarios/build",
        "scenarios/stages/simulate",
    ),
    inputs=lambda scenario: (MATERIAL,),
    settings=_settings,
    read=lambda context: context.file(MATERIAL),
    work=_work,
)
