"""Times of our engine and of the peers, interleaved in one run, one thread each; medians of paired repeats."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from twin.derivatives.intensities import intensities_with_derivatives
from twin.physics.blocks import blocks
from twin.physics.chebyshev import series
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.potential import potential_matrix
from twin.physics.propagation import default_tolerance
from twin.physics.slab import prepare_slab
from validation.engines.peers import Peer, interpreter
from validation.engines.problem import ENERGY_KEV, IN2O3, Problem, frame, solve, write_problem
from validation.rows import Row, at_least

WORKS = {"abTEM": ("eigh",), "diffBloch": ("matrix_exp", "bloch_eigen"), "py4DSTEM": ("eig",)}
Timed = Callable[[], float]
SHORTEST = 0.02  # seconds of work for one measurement, at least
TOLERANCE = 1e-7  # bound of the neglected terms in 64 bit: intensities within 1e-7 (relative rms), see limit_rows


def seconds(call: Callable[[], object]) -> float:
    """CPU seconds of a call after a first one (one thread: the wall time of a machine without other work).

    Short work is repeated until 20 ms have passed, and averaged; the peers do the same.
    """
    call()
    start, count, spent = time.process_time(), 0, 0.0
    while spent < SHORTEST:
        call()
        count, spent = count + 1, time.process_time() - start
    return spent / count


def interleave(timed: dict[str, Timed], *, repeats: int) -> dict[str, list[float]]:
    """Run every entry once a round; {name: seconds of each round}."""
    found: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(repeats):
        for name, call in timed.items():
            found[name].append(call())
    return found


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """Median over the rounds of slow / fast."""
    return float(np.median(np.array(slow) / np.array(fast)))


def matrix_product_peak(dtype: type, *, size: int = 1024) -> float:
    """Best of five products of (size, size) matrices, in 1e9 operations a second."""
    a: Any = np.random.default_rng(0).random((size, size)).astype(dtype)
    return max(2.0 * size**3 / seconds(lambda: a @ a) / 1e9 for _ in range(5))


def work_of(problem: Problem, *, single: bool) -> float:
    """2 Σ n² s K: operations of the matrix products that the recurrence needs (n active beams, s azimuths, K terms)."""
    result = solve(problem)
    slab = prepare_slab(
        potential=potential_matrix(problem.table, result.hkl),
        excitation_error=result.excitation_error,
        wavenumber_per_angstrom=wavenumber_per_angstrom(energy_kev=ENERGY_KEV),
        active=result.active,
    )
    tau = slab.unit * problem.thickness_angstrom
    tolerance = default_tolerance(single=True) if single else TOLERANCE
    terms = series(spectrum=slab.spectra[0], tau=tau, tolerance=tolerance).terms
    return sum(2.0 * b.rows.size**2 * b.columns.size * terms for b in blocks(slab, terms=terms, single=single))


def against_peers(
    *,
    id: str,
    title: str,
    ours: Problem,
    theirs: Problem,
    folder: Path,
    repeats: int,
    goals: tuple[float | None, float | None],
    judged_by: str = "",
) -> list[Row]:
    """Speed of a frame in both precisions against every peer that is there; times are per azimuth of each problem.

    The goal is against the fastest peer, or against the one that ``judged_by`` names.
    """
    path = folder / f"{id}.npz"
    write_problem(path, theirs)
    scale_own, scale_peer = len(ours.directions), len(theirs.directions)
    timed: dict[str, Timed] = {
        "64": lambda: seconds(lambda: solve(ours, tolerance=TOLERANCE)) / scale_own,
        "32": lambda: seconds(lambda: solve(ours, dtype=np.float32)) / scale_own,
    }
    with ExitStack() as stack:
        for name, works in WORKS.items():
            if interpreter(name) is not None:
                peer = stack.enter_context(Peer.start(name))
                for work in works:
                    timed[f"{name} {peer.version} ({work})"] = _peer_call(peer, path, work, scale_peer)
        for call in list(timed.values()):
            call()
        found = interleave(timed, repeats=repeats)
    peers = {name: values for name, values in found.items() if name not in ("64", "32")}
    beams = float(solve(ours).active.sum(axis=0).mean())
    rows = []
    judges = [name for name in peers if name.startswith(judged_by)]
    best = min(judges, key=lambda name: float(np.median(peers[name]))) if judges else ""
    for bits, goal in zip(("64", "32"), goals, strict=True):
        own = float(np.median(found[bits])) * 1e3
        for name, values in peers.items():
            ratio = median_ratio(values, found[bits])
            wanted, met = at_least(ratio, goal) if goal is not None and name == best else ("", None)
            rows.append(
                Row(
                    id=f"{id}-{bits}-{name.split(' ')[0].lower()}-{name.split('(')[-1].rstrip(')')}",
                    quantity=f"{title}, {bits} bit: times faster",
                    value=ratio,
                    unit="×",
                    peer=name,
                    peer_value=float(np.median(values)) * 1e3,
                    goal=wanted,
                    met=met,
                    n=repeats,
                    note=f"ours {own:.3g} ms, peer's value in ms, both per azimuth; {beams:.0f} beams an azimuth",
                )
            )
    for bits, dtype in (("64", np.float64), ("32", np.float32)):
        rate = work_of(ours, single=bits == "32") / scale_own / float(np.median(found[bits])) / 1e9
        peak = matrix_product_peak(dtype)
        rows.append(
            Row(
                id=f"{id}-{bits}-bound",
                quantity=f"{title}, {bits} bit: share of the matrix-product peak",
                value=100.0 * rate / peak,
                unit="%",
                n=repeats,
                note=f"{rate:.1f} of {peak:.0f} GFLOP/s; selection of beams and look-up included in the time",
            )
        )
    return rows


def _peer_call(peer: Peer, path: Path, work: str, scale: int) -> Timed:
    return lambda: peer.run(problem=path, work=work) / scale


def frame_rows(folder: Path, *, quick: bool) -> list[Row]:
    """Precession frames of 64 azimuths at three thicknesses."""
    repeats, few = (3, 8) if quick else (7, 64)
    table = frame(IN2O3, thickness_angstrom=100.0).table
    rows: list[Row] = []
    for nm, goals in ((10, (50.0, 100.0)), (30, (25.0, None)), (70, (12.0, None))):
        rows += against_peers(
            id=f"frame-{nm}nm",
            title=f"In2O3 frame, 1.2°, 64 azimuths, s ≤ 0.02 Å⁻¹, {nm} nm",
            ours=frame(IN2O3, thickness_angstrom=10.0 * nm, table=table),
            theirs=frame(IN2O3, thickness_angstrom=10.0 * nm, table=table, azimuths=few),
            folder=folder,
            repeats=repeats,
            goals=goals,
        )
    return rows


def wide_and_single_rows(folder: Path, *, quick: bool) -> list[Row]:
    """A frame with many beams, and single orientations."""
    table = frame(IN2O3, thickness_angstrom=100.0).table
    rows = against_peers(
        id="converged",
        title="converged In2O3 frame, s ≤ 0.1 Å⁻¹, 10 nm",
        ours=frame(IN2O3, thickness_angstrom=100.0, table=table, s_max_per_angstrom=0.1),
        theirs=frame(IN2O3, thickness_angstrom=100.0, table=table, s_max_per_angstrom=0.1, azimuths=1),
        folder=folder,
        repeats=2 if quick else 3,
        goals=(100.0, None),
        judged_by="abTEM",  # the goal names a complex eigendecomposition
    )
    for s_max in (0.02, 0.05):
        one = frame(
            IN2O3, thickness_angstrom=100.0, table=table, s_max_per_angstrom=s_max, azimuths=1, precession_deg=0.0
        )
        rows += against_peers(
            id=f"single-{s_max}",
            title=f"single orientation, In2O3, s ≤ {s_max} Å⁻¹, 10 nm",
            ours=one,
            theirs=one,
            folder=folder,
            repeats=3 if quick else 7,
            goals=(5.0, None),
        )
    return rows


def derivative_rows(folder: Path, *, repeats: int, parameters: int = 20) -> list[Row]:
    """Jacobian of a precession frame by 20 structural parameters, and diffBloch's autodiff."""
    problem = frame(IN2O3, thickness_angstrom=100.0)
    few = frame(IN2O3, thickness_angstrom=100.0, azimuths=2, table=problem.table)
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(parameters, *problem.table.values.shape))
    change = problem.table.values * (noise + noise[:, ::-1, ::-1, ::-1])  # keeps the centre of symmetry
    result = solve(problem)
    u = potential_matrix(problem.table, result.hkl)
    limits = np.array(problem.table.limits)
    difference = result.hkl[:, None, :] - result.hkl[None, :, :] + limits
    du = change[:, difference[..., 0], difference[..., 1], difference[..., 2]]

    def own(dtype: type) -> object:
        return intensities_with_derivatives(
            potential=u,
            potential_derivatives=du,
            excitation_error=result.excitation_error,
            excitation_derivatives=np.zeros((0, len(u))),
            wavenumber_per_angstrom=wavenumber_per_angstrom(energy_kev=ENERGY_KEV),
            thickness_angstrom=problem.thickness_angstrom,
            thickness_weights=[1.0],
            azimuth_weights=np.full(64, 1.0 / 64),
            rows=np.arange(len(u)),
            active=result.active,
            dtype=dtype,
        )

    timed: dict[str, Timed] = {
        "64": lambda: seconds(lambda: own(np.float64)) / 64,
        "32": lambda: seconds(lambda: own(np.float32)) / 64,
        "frame": lambda: seconds(lambda: solve(problem)) / 64,
    }
    with ExitStack() as stack:
        name = "diffBloch"
        if interpreter(name) is not None:
            path = folder / "derivatives.npz"
            write_problem(path, few, table_derivatives=change)
            peer = stack.enter_context(Peer.start(name))
            timed["jacobian"] = _peer_call(peer, path, "jacobian", 2)
            timed["gradient"] = _peer_call(peer, path, "gradient", 2)
        found = interleave(timed, repeats=repeats)
    rows = []
    cost = median_ratio(found["64"], found["frame"]) / parameters
    rows.append(
        Row(
            id="derivatives-cost",
            quantity="cost of a structural derivative, in evaluations of the frame, 64 bit",
            value=cost,
            unit="evaluations a parameter",
            n=repeats,
        )
    )
    for work, goal in (("jacobian", 20.0), ("gradient", None)):
        if work not in found:
            continue
        for bits in ("64", "32"):
            ratio = median_ratio(found[work], found[bits])
            wanted, met = at_least(ratio, goal) if goal else ("", None)
            rows.append(
                Row(
                    id=f"derivatives-{work}-{bits}",
                    quantity=f"{parameters} structural derivatives, {bits} bit: times faster than their {work}",
                    value=ratio,
                    unit="×",
                    peer=f"{name} ({work})",
                    peer_value=float(np.median(found[work])) * 1e3,
                    goal=wanted,
                    met=met,
                    n=repeats,
                    note=f"ours {1e3 * float(np.median(found[bits])):.3g} ms for the whole Jacobian, per azimuth",
                )
            )
    return rows
