"""A whole run, or a part of it: prepare the folder, go through the stages, summarise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from scenarios.load import LoadedScenario, load_scenario
from scenarios.progress import Progress
from scenarios.runfolder import MATERIAL, SCENARIO, RunFolder, RunManifest, locked, prepare_folder, versions
from scenarios.stages.base import Context, Ended, Stage, run_stage
from scenarios.toml import scenario_toml
from twin.files.atomic import sha256_file, write_bytes, write_text
from twin.files.errors import InputError
from twin.files.json import read_input

ORDER = ("simulate", "acquire", "reduce", "solve", "refine_kinematical", "refine_frame_based", "refine_dynamical")
_WHERE = {
    "simulate": ("simulate", "STAGE"),
    "acquire": ("acquire", "STAGE"),
    "reduce": ("reduce", "STAGE"),
    "solve": ("solve", "STAGE"),
    "refine_kinematical": ("refine", "KINEMATICAL"),
    "refine_frame_based": ("refine", "FRAMES"),
    "refine_dynamical": ("refine", "DYNAMIC"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A run that came to its end: the summary (None when only stages were asked for) and how each stage ended."""

    folder: RunFolder
    ended: tuple[Ended, ...]
    summary: Mapping[str, Any] | None

    @property
    def failed(self) -> tuple[Ended, ...]:
        """Stages that gave up."""
        return tuple(e for e in self.ended if e.failed is not None)


def stage(name: str) -> Stage:
    """A stage by its name; its libraries are loaded only now."""
    module, attribute = _WHERE[name]
    found = getattr(import_module(f"scenarios.stages.{module}"), attribute)
    assert isinstance(found, Stage)
    return found


def refuse_planned(loaded: LoadedScenario) -> None:
    """A scenario whose acquisition is not built yet ends in one sentence."""
    if loaded.scenario.status == "planned":
        note = loaded.scenario.status_note or "its acquisition is not built yet"
        raise InputError(f"scenario {loaded.name} cannot be run: {note}")


def run_scenario(
    loaded: LoadedScenario,
    *,
    path: Path,
    progress: Progress,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    stages: Sequence[str] = ORDER,
    summarise: bool = True,
) -> RunResult:
    """Run a scenario in ``path`` from its atoms to its summary."""
    refuse_planned(loaded)
    cif = read_input(loaded.cif_path)
    folder = prepare_folder(path, resume=resume, overwrite=overwrite)
    with locked(folder):
        _write_inputs(folder, loaded, cif)
        return _go(folder, loaded, progress=progress, workers=workers, resume=True, stages=stages, summarise=summarise)


def run_in_folder(
    path: Path, *, progress: Progress, workers: int = 1, stages: Sequence[str], overrides: Sequence[str] = ()
) -> RunResult:
    """Make stages of an existing run folder again, from what the stage before left there."""
    folder = RunFolder(path=path)
    folder.manifest()
    loaded = load_scenario(path / SCENARIO, overrides=overrides)
    with locked(folder):
        write_text(folder.file(SCENARIO), scenario_toml(loaded.scenario, name=loaded.name, cif=MATERIAL))
        return _go(folder, loaded, progress=progress, workers=workers, resume=False, stages=stages, summarise=False)


def summarise_folder(path: Path, *, report: bool = True) -> Mapping[str, Any]:
    """Write ``summary.json`` and (``report``) ``report.html`` of a run folder again."""
    from scenarios.stages.report import write_summary

    folder = RunFolder(path=path)
    folder.manifest()
    loaded = load_scenario(path / SCENARIO)
    with locked(folder):
        return write_summary(folder=folder, scenario=loaded.scenario, report=report)


def _go(
    folder: RunFolder,
    loaded: LoadedScenario,
    *,
    progress: Progress,
    workers: int,
    resume: bool,
    stages: Sequence[str],
    summarise: bool,
) -> RunResult:
    context = Context(folder=folder, name=loaded.name, scenario=loaded.scenario, workers=workers, progress=progress)
    ended: list[Ended] = []
    for name in stages:
        current = stage(name)
        if not current.wanted(loaded.scenario):
            _drop(folder, name)
            continue
        ended.append(run_stage(current, context, resume=resume))
        if ended[-1].failed is not None and name in ("reduce", "solve", "refine_kinematical"):
            _drop_all(folder, ORDER[ORDER.index(name) + 1 :])
            break
    summary = None
    if summarise:
        from scenarios.stages.report import write_summary

        progress.begin("report")
        summary = write_summary(folder=folder, scenario=loaded.scenario)
    return RunResult(folder=folder, ended=tuple(ended), summary=summary)


def _write_inputs(folder: RunFolder, loaded: LoadedScenario, cif: bytes) -> None:
    """Scenario and crystal go into the folder; records of finished stages stay, their keys tell whether they hold."""
    old = folder.manifest() if folder.file("manifest.json").is_file() else None
    fresh = RunManifest(scenario=loaded.name, seed=loaded.scenario.seed, versions=versions())
    kept = fresh if old is None else replace(fresh, started=old.started, stages=old.stages)
    folder.write_manifest(kept)
    write_bytes(folder.file(MATERIAL), cif)
    write_text(folder.file(SCENARIO), scenario_toml(loaded.scenario, name=loaded.name, cif=MATERIAL))
    inputs = {name: sha256_file(folder.file(name)) for name in (SCENARIO, MATERIAL)}
    folder.write_manifest(replace(kept, inputs=inputs))


def _drop(folder: RunFolder, name: str) -> None:
    manifest = folder.manifest()
    if name in manifest.stages:
        folder.write_manifest(replace(manifest, stages={k: v for k, v in manifest.stages.items() if k != name}))


def _drop_all(folder: RunFolder, names: Sequence[str]) -> None:
    for name in names:
        _drop(folder, name)
