"""What the run shows, in sentences: made from the summary alone, and honest when something failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def verdict(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """A few sentences for the head of the report, most important first."""
    sentences = (
        _solution(summary["solution"]),
        _refinement(summary["kinematical"]["averaged"], summary["dynamical"]),
        _frame_based(summary["kinematical"]["frame_based"], summary["dynamical"]),
        _reduction(summary),
    )
    return tuple(s for s in sentences if s)


def _solution(block: Mapping[str, Any]) -> str:
    if block["solved"] is None:
        return "The structure was not looked for in this run."
    if not block["solved"]:
        return "The structure was not solved: no model was accepted."
    text = f"A structure was accepted in {_group(block)}"
    if block["space_group_correct"] is None:
        return text + "; there is no truth to compare it with."
    faults = [
        "in the wrong space group" if not block["space_group_correct"] else "",
        _count(block["missing_atoms"], "position", "missing"),
        _count(block["spurious_atoms"], "position", "that should not be there"),
    ]
    faults = [f for f in faults if f]
    if faults:
        return f"{text}, but it is wrong: {', '.join(faults)}."
    largest = block["max_distance_angstrom"]
    place = "" if largest is None or largest < 5e-4 else f", none further than {largest:.3f} Å from its place"
    return f"The structure was solved in {_group(block)}, the right group, and every atom was found{place}."


def _group(block: Mapping[str, Any]) -> str:
    return str(block["space_group"] or "an unnamed group").replace(" ", "")


def _count(number: int | None, noun: str, tail: str) -> str:
    return "" if not number else f"{number} {noun}{'s' if number != 1 else ''} {tail}"


def _refinement(kinematical: Mapping[str, Any] | None, dynamical: Mapping[str, Any] | None) -> str:
    if kinematical is None and dynamical is None:
        return ""
    if kinematical is None or dynamical is None:
        name, block = ("dynamical", dynamical) if dynamical else ("kinematical", kinematical)
        assert block is not None
        return f"The {name} refinement ends at R(obs) {_p(block['r_obs_percent'])}{_distance(block)}."
    r_kin, r_dyn = kinematical["r_obs_percent"], dynamical["r_obs_percent"]
    d_kin, d_dyn = kinematical["max_distance_angstrom"], dynamical["max_distance_angstrom"]
    text = f"From averaged kinematical to dynamical refinement R(obs) goes from {_p(r_kin)} to {_p(r_dyn)}"
    if d_kin is None or d_dyn is None:
        return text + "."
    better = "falls" if d_dyn < d_kin else "rises"
    return f"{text}, and the largest deviation of an atom {better} from {d_kin:.4f} to {d_dyn:.4f} Å."


def _distance(block: Mapping[str, Any]) -> str:
    largest = block["max_distance_angstrom"]
    return "" if largest is None else f", the largest deviation of an atom is {largest:.4f} Å"


def _frame_based(frame_based: Mapping[str, Any] | None, dynamical: Mapping[str, Any] | None) -> str:
    if frame_based is None or dynamical is None:
        return ""
    r_kin, r_dyn = frame_based["r_obs_percent"], dynamical["r_obs_percent"]
    if r_kin is None or r_dyn is None:
        return ""
    return (
        f"On the same frames and reflections the kinematical model reaches {_p(r_kin)}: multiple scattering alone is "
        f"worth {r_kin - r_dyn:.1f} points."
    )


def _reduction(summary: Mapping[str, Any]) -> str:
    cell, orientation = summary["cell"], summary["orientation"]
    if orientation["indexed_frames_percent"] is None:
        return "The frames were not indexed."
    text = f"{orientation['indexed_frames_percent']:.0f} % of the frames were indexed"
    if cell["max_ratio_error_percent"] is None:
        return text + "; the lattice that was found is not the true one, or there is no truth."
    text += f"; cell ratios are off by at most {cell['max_ratio_error_percent']:.2f} %"
    if orientation["rms_error_deg"] is not None:
        text += f", frame orientations by {orientation['rms_error_deg']:.3f}° rms"
    return text + "."


def _p(value: float | None) -> str:
    return "an unknown value" if value is None else f"{value:.2f} %"
