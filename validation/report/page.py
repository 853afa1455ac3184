"""From a run to one HTML file without any link to the outside."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure

from twin.files.atomic import write_text
from validation.density import observed_density
from validation.plots import geometry, intensities, structure
from validation.plots.frame_axis import frame_axis
from validation.plots.style import TREATMENT_NAME, svg
from validation.report import solution, tables
from validation.report.frames import frame_set
from validation.report.verdict import verdict
from validation.scores import Scores, score_run
from validation.summary import STAGES, summarise
from validation.view import RunView

CONTENTS = (
    ("result", "Result"), ("frames", "Frames"), ("geometry", "Lattice and orientation"),
    ("reciprocal", "Reciprocal space"), ("intensities", "Intensities"), ("structure", "Structure"), ("run", "Run"),
)  # fmt: skip


def write_report(run: RunView, path: Path, *, scores: Scores | None = None) -> None:
    """Write the report of ``run`` to ``path``, whole or not at all."""
    write_text(Path(path), render_report(run, scores=scores))


def render_report(run: RunView, *, scores: Scores | None = None) -> str:
    """The page as text. Every value is escaped; style, script and pictures are inside."""
    scores = score_run(run) if scores is None else scores
    summary = summarise(run, scores)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(_resource("template.html"))
    return template.render(
        **_head(run, summary),
        **_tables(run, scores, summary),
        figures=_figures(run, scores),
        frames=_frames(run),
        contents=CONTENTS,
        style=_resource("style.css"),
        script=_resource("script.js"),
    )


def _resource(name: str) -> str:
    return files("validation.report").joinpath(name).read_text(encoding="utf-8")


def _head(run: RunView, summary: Mapping[str, Any]) -> dict[str, Any]:
    study = run.study or {}
    return {
        "title": run.title or run.scenario,
        "subtitle": str(study.get("source", "")) and f"Stands beside {study.get('row', '')} of {study['source']}.",
        "scenario": run.scenario,
        "seed": run.seed,
        "engine": run.engine,
        "verdict": verdict(summary),
        "failures": [(stage.replace("_", ", "), reason) for stage, reason in run.failures.items()],
        "cards": tables.cards(summary),
        "study_row": str(study.get("row", "")),
        "timings": _timings(summary["timings_s"]),
        "meta": tuple(run.meta.items()),
    }


def _tables(run: RunView, scores: Scores, summary: Mapping[str, Any]) -> dict[str, Any]:
    orientation = run.orientation
    wrong = run.truth is not None and orientation is not None and scores.lattice is None
    return {
        "study_table": tables.study_table(summary, run.study, treatments=False),
        "treatment_table": tables.study_table(summary, run.study, treatments=True),
        "cell_table": tables.cell_table(run, scores),
        "cell_notes": ["This is not the lattice of the true crystal."] if wrong else [],
        "instrument_table": tables.instrument_table(run),
        "notes": [_sentence(note) for note in orientation.notes] if orientation else [],
        "density_caption": _density_caption(run),
        "candidates": solution.candidate_table(run.solution),
        "starts": solution.start_table(run.solution),
        "peaks": solution.peak_table(run.solution),
        "site_table": tables.site_table(scores),
        "experiment_table": tables.experiment_table(run),
        "solution_verdict": _sentence(run.solution.verdict) if run.solution else "",
        "refinement_notes": [
            (_sentence(TREATMENT_NAME.get(r.kind, r.kind)), _sentence(r.verdict)) for r in run.refinements
        ],
    }


def _sentence(text: str) -> str:
    """First letter large, a full stop at the end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) or not text else ".")


def _timings(timings_s: Mapping[str, float | None]) -> list[dict[str, Any]]:
    known = {stage: timings_s[stage] for stage in STAGES if timings_s.get(stage) is not None}
    total = max([v for v in known.values() if v is not None], default=0.0)
    return [
        {"name": stage.replace("_", ", "), "percent": round(100 * (value or 0.0) / total, 2) if total else 0,
         "text": f"{value:.1f} s"}
        for stage, value in known.items()
    ]  # fmt: skip


def _frames(run: RunView) -> dict[str, Any] | None:
    if run.dataset is None or len(run.dataset.counts) == 0:
        return None
    shown = frame_set(dataset=run.dataset, reflections=run.reflections, peaks=run.peaks)
    payload = {"images": shown.images, "frames": shown.data, "size_px": shown.size_px, "total": len(run.dataset.counts)}
    return {"count": len(shown.images), "start": len(shown.images) // 2, "note": shown.note, "payload": payload}


def _figures(run: RunView, scores: Scores) -> dict[str, str]:
    """Figure name to data URL; empty where there is nothing to draw."""
    makers: dict[str, Callable[[], Figure | None]] = {
        "radar": lambda: _radar(run, scores),
        "orientation": lambda: _orientation(run, scores),
        "scales": lambda: _scales(run),
        "sections": lambda: _sections(run),
        "rocking": lambda: _rocking(run),
        "fo_fc": lambda: intensities.fo_fc(run.refinements) if run.refinements else None,
        "residuals": lambda: _residuals(run),
        "truth": lambda: _truth(scores),
        "density": lambda: _density(run),
    }
    return {name: _data_url(make()) for name, make in makers.items()}


def _data_url(figure: Figure | None) -> str:
    if figure is None:
        return ""
    return "data:image/svg+xml;base64," + base64.b64encode(svg(figure).encode("utf-8")).decode("ascii")


def _radar(run: RunView, scores: Scores) -> Figure | None:
    if not any(score and score.sites for score in scores.refinements.values()):
        return None
    study: dict[str, dict[str, float]] = {}
    for kind, block in (("kinematical_averaged", "kinematical"), ("dynamical", "dynamical")):
        row = (run.study or {}).get(block) or {}
        pairs = (("mean", "mean_distance_angstrom"), ("max", "max_distance_angstrom"))
        study[kind] = {short: float(row[key]) for short, key in pairs if row.get(key) is not None}
    return structure.radar(scores=scores.refinements, study=study)


def _orientation(run: RunView, scores: Scores) -> Figure | None:
    if scores.orientation is None or run.dataset is None:
        return None
    return geometry.orientation_errors(score=scores.orientation, along=frame_axis(run.dataset))


def _scales(run: RunView) -> Figure | None:
    if run.dataset is None or (run.reflections is None and not any(r.frame_scale is not None for r in run.refinements)):
        return None
    along = frame_axis(run.dataset)
    return geometry.frame_scales(reflections=run.reflections, refinements=run.refinements, along=along)


def _sections(run: RunView) -> Figure | None:
    if run.merged is None or run.orientation is None or len(run.merged.hkl) == 0:
        return None
    return geometry.sections(merged=run.merged, cell=run.orientation.cell)


def _rocking(run: RunView) -> Figure | None:
    if run.reflections is None or len(run.reflections.hkl) == 0:
        return None
    return geometry.rocking_curves(reflections=run.reflections)


def _residuals(run: RunView) -> Figure | None:
    if not run.refinements:
        return None
    return intensities.residuals(run.refinements, frame_axis(run.dataset) if run.dataset else None)


def _truth(scores: Scores) -> Figure | None:
    if scores.integrated is None and scores.merged is None:
        return None
    return intensities.against_truth(integrated=scores.integrated, averaged=scores.merged)


def _density(run: RunView) -> Figure | None:
    s, averaged = run.solution, run.refinement("kinematical_averaged")
    if s is not None and s.crystal is not None and s.density is not None and np.ptp(s.density) > 0:
        return structure.density_sections(crystal=s.crystal, density=s.density)
    if averaged is None or len(averaged.hkl) == 0:
        return None
    return structure.density_sections(crystal=averaged.crystal, density=observed_density(averaged))


def _density_caption(run: RunView) -> str:
    source = "Map of the observed amplitudes with the phases of the averaged kinematical model"
    if run.solution is not None and run.solution.density is not None:
        source = "Density of the solution"
    return f"{source} in the layer with most atoms normal to each axis, largest value in a slab; circles: the model."
