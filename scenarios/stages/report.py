"""Truth and results -> ``summary.json`` and ``report.html``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipeline.types import MergedReflections, Orientation, Peaks, Refinement, Reflections, Solution
from scenarios.persist import load_json, load_npz
from scenarios.runfolder import RunFolder
from scenarios.schema import Scenario
from scenarios.stages import refine
from scenarios.stages.simulate import load_truth, load_truth_intensities
from twin.files.json import write_json
from twin.files.nxmx import read_dataset
from validation.view import RunView

T = TypeVar("T")
SUMMARY, REPORT = "summary.json", "report.html"
KINDS = (refine.AVERAGED, refine.NON_AVERAGED, refine.FRAME_BASED, refine.DYNAMICAL)


def run_view(*, folder: RunFolder, scenario: Scenario) -> RunView:
    """Everything that the folder holds; stages that were not run, or gave up, are None."""
    manifest = folder.manifest()
    done = {name for name, record in manifest.stages.items() if record.failed is None}

    def npz(cls: type[T], name: str, stage: str) -> T | None:
        return load_npz(cls, folder.file(name)) if stage in done else None

    kept = {name for stage in done for name in manifest.stages[stage].outputs}
    refinements = [refine.refinement_file(kind) for kind in KINDS if refine.refinement_file(kind) in kept]
    has_truth = folder.file("truth/truth.json").is_file()
    return RunView(
        scenario=manifest.scenario,
        seed=manifest.seed,
        engine=scenario.engine.kind,
        title=scenario.title,
        timings_s=manifest.timings_s,
        study=study_mapping(scenario),
        meta=manifest.versions,
        failures=_failures(folder),
        truth=load_truth(folder) if has_truth else None,
        truth_intensities=load_truth_intensities(folder) if has_truth else None,
        dataset=read_dataset(folder.file("frames.nxs")) if "acquire" in done else None,
        peaks=npz(Peaks, "peaks.npz", "reduce"),
        orientation=load_json(Orientation, folder.file("orientation.json")) if "reduce" in done else None,
        reflections=npz(Reflections, "reflections.npz", "reduce"),
        merged=npz(MergedReflections, "merged.npz", "reduce"),
        solution=npz(Solution, "solution.npz", "solve"),
        refinements=tuple(load_npz(Refinement, folder.file(name)) for name in refinements),
    )


def write_summary(*, folder: RunFolder, scenario: Scenario, report: bool = True) -> Mapping[str, Any]:
    """Score the run, write summary and (``report``) report, and hand the summary back."""
    from validation.scores import score_run
    from validation.summary import summarise

    view = run_view(folder=folder, scenario=scenario)
    scores = score_run(view)
    summary = summarise(view, scores)
    write_json(folder.file(SUMMARY), summary)
    if report:
        from validation.report import write_report

        write_report(view, folder.file(REPORT), scores=scores)
    return summary


def study_mapping(scenario: Scenario) -> Mapping[str, Any] | None:
    """The published row as a plain mapping, as ``validation.study`` reads it."""
    return None if scenario.study is None else scenario.study.model_dump(exclude_none=True)


def _failures(folder: RunFolder) -> dict[str, str]:
    records = folder.manifest().stages.items()
    return {name: record.failed for name, record in records if record.failed is not None}


def report_path(folder: RunFolder) -> Path:
    """Where the report lies."""
    return folder.file(REPORT)
