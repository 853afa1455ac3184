"""Agreement of the Bloch engine with other packages, and what its cut-offs cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.physics.convergence import adaptive_cut_off, r1_between
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import excitation_errors
from twin.physics.lattice import Floats, Ints
from twin.physics.potential import potential_matrix
from twin.physics.propagation import propagate
from validation.engines.peers import Peer, interpreter, reason_to_skip
from validation.engines.problem import (
    BROOKITE,
    ENERGY_KEV,
    IN2O3,
    QUARTZ,
    Problem,
    frame,
    physical_intensity,
    solve,
    write_problem,
)
from validation.rows import Row, at_most

K = wavenumber_per_angstrom(energy_kev=ENERGY_KEV)
# (peer, work, flux amplitudes?, goal against our own formula, goal against theirs)
COMPARED = (
    ("abTEM", "eigh", False, 1e-5, None),
    ("diffBloch", "matrix_64", True, None, 1e-5),
    ("py4DSTEM", "eig", True, None, 1e-5),
)


def relative_rms(found: Floats, reference: Floats) -> float:
    """√Σ(a − b)² / √Σ b²."""
    return float(np.linalg.norm(found - reference) / np.linalg.norm(reference))


def with_formula_of(peer: str, problem: Problem, lists: list[Ints]) -> Floats:
    """Our propagator with the diagonal and the surface factors of a peer: what should be its result.

    M = (1 + g_n/K_n)^(−1/2). Ours and abTEM's diagonal is 2K s M², diffBloch's 2K s M; py4DSTEM measures s along the
    foil normal (2K s M²) but leaves the factors M_g M_h of the other elements out.
    """
    g_lab = problem.table.beams @ problem.reciprocal_lab.T
    where = {tuple(h): i for i, h in enumerate(problem.table.beams.tolist())}
    parts = []
    for direction, beams in zip(problem.directions, lists, strict=True):
        g = g_lab[[where[tuple(h)] for h in beams.tolist()]]
        s = excitation_errors(g_lab=g, directions=[direction], wavenumber_per_angstrom=K)
        ratio = g @ direction / K
        root = 1.0 / np.sqrt(1.0 + ratio)
        factor = {"abTEM": np.ones_like(root), "diffBloch": 1.0 / root, "py4DSTEM": root**2}[peer]
        psi = propagate(
            potential=potential_matrix(problem.table, beams),
            excitation_error=s * factor[:, None],
            wavenumber_per_angstrom=K,
            thickness_angstrom=problem.thickness_angstrom,
            normal_cosine_ratio=None if peer == "py4DSTEM" else ratio,
        )[:, :, 0]
        parts.append(np.abs(psi) ** 2)
    return np.concatenate(parts, axis=1)


def peer_rows(folder: Path) -> list[Row]:
    """Intensities of the diffracted beams of a few azimuths against every peer that is there."""
    rows = []
    for name, work, flux, direct_goal, own_goal in COMPARED:
        if interpreter(name) is None:
            rows.append(_skipped(name))
            continue
        with Peer.start(name) as peer:
            for crystal, nm in ((IN2O3, 10), (IN2O3, 70), (BROOKITE, 30), (QUARTZ, 50)):
                problem = frame(crystal, thickness_angstrom=10.0 * nm, azimuths=4)
                path, result = folder / f"agree-{crystal.name}-{nm}.npz", folder / "agree-result.npz"
                lists = write_problem(path, problem)
                peer.run(problem=path, work=work, result=result)
                with np.load(result) as file:
                    theirs = np.asarray(file["intensity"], dtype=np.float64)
                ours = physical_intensity(problem, solve(problem), lists, flux=flux)
                again = with_formula_of(name, problem, lists)
                beams: NDArray[np.bool_] = np.any(np.concatenate(lists) != 0, axis=1)
                full = f"{name} {peer.version}"
                title = f"{crystal.name} {nm} nm, diffracted beams"
                key = f"agree-{name.lower()}-{crystal.name.lower()}-{nm}"
                rows.append(_rms_row(f"{key}-ours", f"{title}: our formula", full, theirs, ours, beams, direct_goal))
                if own_goal is not None:
                    rows.append(
                        _rms_row(f"{key}-theirs", f"{title}: their formula", full, theirs, again, beams, own_goal)
                    )
    return rows


def _rms_row(
    id: str, quantity: str, peer: str, theirs: Floats, ours: Floats, beams: NDArray[Any], goal: float | None
) -> Row:
    value = relative_rms(ours[:, beams], theirs[:, beams])
    text, met = at_most(value, goal) if goal is not None else ("", None)
    return Row(
        id=id, quantity=quantity, value=value, unit="relative rms", peer=peer, goal=text, met=met, n=int(beams.sum())
    )


def _skipped(name: str) -> Row:
    return Row(
        id=f"agree-{name.lower()}", quantity="agreement", value=None, unit="", peer=name, note=reason_to_skip(name)
    )


def truncation_rows(*, quick: bool) -> list[Row]:
    """What |s| ≤ s_max leaves out, and that the adaptive cut-off finds a converged one."""
    nodes = np.array([100.0, 300.0, 700.0])
    azimuths = 16 if quick else 32
    base = frame(IN2O3, thickness_angstrom=100.0, azimuths=azimuths)
    widest = 0.2 if quick else 0.3
    results = {s: solve(_replace(base, s, nodes), dtype=np.float32) for s in (0.01, 0.02, 0.05, 0.1, widest)}
    rows = []
    for node, nm in enumerate((10, 30, 70)):
        for s in (0.01, 0.02, 0.05, 0.1):
            value = 100.0 * r1_between(results[s], results[widest], node=node)
            rows.append(
                Row(
                    id=f"truncation-{s}-{nm}",
                    quantity=f"In2O3 {nm} nm: change by |s| ≤ {s} instead of {widest} Å⁻¹",
                    value=value,
                    unit="% R1",
                    n=azimuths,
                )
            )
        found = adaptive_cut_off(
            crystal=IN2O3,
            table=base.table,
            reciprocal_lab=base.reciprocal_lab,
            directions=base.directions,
            thickness_angstrom=float(nodes[node]),
            ladder=(0.01, 0.02, 0.04, 0.06, 0.09, 0.13, 0.19),
        )
        closest = solve(_replace(base, found.s_max_per_angstrom, nodes), dtype=np.float32)
        value = 100.0 * r1_between(closest, results[widest], node=node) if found.s_max_per_angstrom < widest else 0.0
        goal, met = at_most(value, 1.0)
        rows.append(
            Row(
                id=f"adaptive-{nm}",
                quantity=f"In2O3 {nm} nm: adaptive cut-off, true change to {widest} Å⁻¹",
                value=value,
                unit="% R1",
                goal=goal,
                met=met,
                n=azimuths,
                note=f"chose |s| ≤ {found.s_max_per_angstrom} Å⁻¹ and estimated {100 * found.error:.2f} %",
            )
        )
    return rows


def _replace(problem: Problem, s_max: float, nodes: Floats) -> Problem:
    return Problem(
        crystal=problem.crystal,
        rotation=problem.rotation,
        directions=problem.directions,
        thickness_angstrom=nodes,
        g_max_per_angstrom=problem.g_max_per_angstrom,
        s_max_per_angstrom=s_max,
        table=problem.table,
    )
