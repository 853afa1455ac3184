"""How the cost grows with beams and thickness."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from validation.engines.problem import IN2O3, Problem, frame, solve
from validation.engines.timing import seconds
from validation.rows import Row

CUT_OFFS = (0.012, 0.02, 0.035, 0.06, 0.12)
THICKNESSES_NM = (5, 10, 20, 30, 50, 70, 100)


def scaling_rows(figure: Path | None, *, quick: bool) -> list[Row]:
    """Milliseconds an azimuth of an In2O3 frame over beams (10 nm) and over thickness (s ≤ 0.02 Å⁻¹)."""
    table = frame(IN2O3, thickness_angstrom=100.0).table
    cuts = CUT_OFFS[:4] if quick else CUT_OFFS
    beams: dict[str, list[tuple[float, float]]] = {"64": [], "32": []}
    nodes: dict[str, list[tuple[float, float]]] = {"64": [], "32": []}
    rows = []
    for bits, dtype in (("64", np.float64), ("32", np.float32)):
        for s_max in cuts:
            problem = frame(IN2O3, thickness_angstrom=100.0, s_max_per_angstrom=s_max, table=table)
            active = float(solve(problem).active.sum(axis=0).mean())
            beams[bits].append((active, _milliseconds(problem, dtype)))
        for nm in THICKNESSES_NM:
            problem = frame(IN2O3, thickness_angstrom=10.0 * nm, table=table)
            nodes[bits].append((float(nm), _milliseconds(problem, dtype)))
        rows += [
            Row(
                id=f"growth-beams-{bits}-{x:.0f}",
                quantity=f"10 nm, {x:.0f} beams, {bits} bit",
                value=y,
                unit="ms an azimuth",
            )
            for x, y in beams[bits]
        ]
        rows += [
            Row(
                id=f"growth-thickness-{bits}-{x:.0f}",
                quantity=f"167 beams, {x:.0f} nm, {bits} bit",
                value=y,
                unit="ms an azimuth",
            )
            for x, y in nodes[bits]
        ]
    if figure is not None:
        _draw(figure, beams, nodes)
    return rows


def _milliseconds(problem: Problem, dtype: type) -> float:
    return 1e3 * min(seconds(lambda: solve(problem, dtype=dtype)) for _ in range(3)) / len(problem.directions)


def _draw(path: Path, beams: dict[str, list[tuple[float, float]]], nodes: dict[str, list[tuple[float, float]]]) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for bits, marker in (("64", "o"), ("32", "s")):
        left.loglog(*zip(*beams[bits], strict=True), marker=marker, label=f"{bits} bit")
        right.plot(*zip(*nodes[bits], strict=True), marker=marker, label=f"{bits} bit")
    left.set(xlabel="active beams an azimuth", ylabel="ms an azimuth", title="In2O3, 200 kV, 10 nm")
    right.set(xlabel="thickness / nm", ylabel="ms an azimuth", title="167 beams an azimuth")
    for axis in (left, right):
        axis.legend()
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)
