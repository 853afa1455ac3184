"""Time, memory and agreement of multislice with abTEM: a sphere of ITO of 10 nm, 768², 104 slices, one direction.

``python -m validation.engines.multislice_abtem PROBLEM.npz RESULT.npz`` is our side, in a process of its own so that
its peak memory is its own.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from twin.model.crystal import Crystal, Site
from twin.model.specimen import Particle
from twin.physics.electrons import relativistic_gamma, wavelength_angstrom
from twin.physics.lattice import Floats
from twin.physics.multislice import AtomCloud, Grid, Singles, exit_waves, phase_slices, plane_wave
from twin.physics.structure_factors import electron_factor, gaussian_factors
from twin.specimen.atoms import atom_cloud, particle_atoms
from validation.engines.peers import THREADS, Peer, interpreter, reason_to_skip
from validation.engines.problem import ENERGY_KEV, IN2O3, TILTED
from validation.rows import Row, at_least, at_most

SLICES, POINTS, EXTENT_ANGSTROM, SLICE_ANGSTROM = 104, 768, 125.0, 100.0 / 104
Q_RANGE = (0.03, 1.6)  # diffracted intensity, inside both engines' bands
TITLE = "sphere of ITO, 10 nm, 768², 104 slices"


def ito(indium_share: float = 0.892) -> Crystal:
    """In2O3 with tin on both metal sites."""
    sites = []
    for site in IN2O3.sites:
        for element, share in (("In", indium_share), ("Sn", 1.0 - indium_share)):
            if site.element == "In":
                sites.append(_alloyed(site, element, share))
        if site.element != "In":
            sites.append(site)
    return Crystal(name="ITO", cell=IN2O3.cell, hall=IN2O3.hall, sites=tuple(sites))


def _alloyed(site: Site, element: str, share: float) -> Site:
    return Site(
        label=site.label + element,
        element=element,
        fract=site.fract,
        occupancy=share,
        u_iso_angstrom2=site.u_iso_angstrom2,
    )


def sphere_cloud() -> AtomCloud:
    """The sphere's atoms in the field, entrance side at z = 0."""
    particle = Particle(shape="sphere", size_nm=(10.0, 10.0, 10.0))
    generator = np.random.default_rng(1)
    atoms = particle_atoms(crystal=ito(), particle=particle, orientation=TILTED, alloy="drawn", generator=generator)
    cloud = atom_cloud(atoms, centre_angstrom=(0.5 * EXTENT_ANGSTROM, 0.5 * EXTENT_ANGSTROM))
    position = cloud.position_angstrom.copy()
    position[:, 2] -= position[:, 2].min() - 1e-6
    return AtomCloud(
        position_angstrom=position,
        element=cloud.element,
        weight=cloud.weight,
        elements=cloud.elements,
        u_iso_angstrom2=cloud.u_iso_angstrom2,
    )


def write_cloud(path: Path, cloud: AtomCloud, *, slices: int = SLICES) -> None:
    """What either engine needs, with the Gaussians of the factors."""
    factors = [gaussian_factors(element) for element in cloud.elements]
    np.savez(
        path,
        symbols=np.array(cloud.elements),
        a=[a for a, _ in factors],
        b=[b for _, b in factors],
        u_iso=cloud.u_iso_angstrom2,
        element=cloud.element,
        position=cloud.position_angstrom,
        weight=cloud.weight,
        extent=EXTENT_ANGSTROM,
        points=POINTS,
        slice=SLICE_ANGSTROM,
        slices=slices,
        energy_ev=1e3 * ENERGY_KEV,
    )


def comparison_rows(folder: Path, *, repeats: int) -> list[Row]:
    """Our time and memory, and theirs with the differences."""
    path, cloud = folder / "sphere.npz", sphere_cloud()
    write_cloud(path, cloud)
    ours = _own(path, folder / "own.npz", repeats=repeats)
    peak = ours["peak_mib"]
    goal, met = at_most(peak, 512.0)
    quantity = f"{TITLE} ({len(cloud.element)} atoms): peak memory of our process"
    row = Row(id="abtem-memory", quantity=quantity, value=peak, unit="MiB", goal=goal, met=met)
    if interpreter("abTEM") is None:
        return [row, Row(id="abtem-speed", quantity=TITLE, value=None, unit="", note=reason_to_skip("abTEM"))]
    with Peer.start("abTEM", script="abtem_multislice.py") as peer:
        label = f"abTEM {peer.version}"
        seconds = peer.run(problem=path, work="both", result=folder / "theirs.npz")
        atom = _one_atom_row(folder, peer, label)
    with np.load(folder / "theirs.npz") as file:
        theirs, their_peak = np.asarray(file["intensity"]), float(file["peak_bytes"]) / 2**20
    ratio = seconds / ours["seconds"]
    goal, met = at_least(ratio, 5.0)
    note = f"ours {ours['seconds']:.2f} s, theirs {seconds:.1f} s, potential and propagation"
    return [
        Row(id=row.id, quantity=row.quantity, value=row.value, unit=row.unit, peer=label, peer_value=their_peak,
            goal=row.goal, met=row.met),
        Row(id="abtem-speed", quantity=f"{TITLE}: times faster", value=ratio, unit="×", peer=label,
            peer_value=seconds, goal=goal, met=met, n=repeats, note=note),
        *_agreement(ours["intensity"], theirs, cloud, label),
        atom,
    ]  # fmt: skip


def _one_atom_row(folder: Path, peer: Peer, label: str) -> Row:
    """A hydrogen atom on a pixel and half-way to the next, by the package itself: nothing should change but phases."""
    step, row = EXTENT_ANGSTROM / POINTS, round(1.5 * EXTENT_ANGSTROM)
    amplitude = []
    for shift in (0.0, 0.5):
        position = np.array([[(POINTS // 2 + shift) * step, (POINTS // 2) * step, 0.5 * SLICE_ANGSTROM]])
        cloud = AtomCloud(
            position_angstrom=position, element=np.zeros(1, dtype=np.int64), weight=np.ones(1), elements=("H",),
            u_iso_angstrom2=(0.0,),
        )  # fmt: skip
        problem = folder / f"atom_{shift}.npz"  # the peer keeps what it has read of a path
        write_cloud(problem, cloud, slices=1)
        peer.run(problem=problem, work="both", result=folder / "atom_theirs.npz")
        with np.load(folder / "atom_theirs.npz") as file:
            amplitude.append(math.sqrt(float(file["intensity"][0, row])))
    cosine = math.cos(math.pi * row / POINTS)
    return Row(
        id="abtem-atom",
        quantity="one atom half-way between two pixels over one on a pixel, amplitude at 1.5 Å⁻¹ (1 is right):"
        " as four pixels weighted by distance would have it, and as the package has it",
        value=cosine, unit="", peer=label, peer_value=amplitude[1] / amplitude[0],
        note="averaged over positions it is sinc²(π q d) = 0.82; division by sin(q d)/(q d) gives back 1 % of the 18 %",
    )  # fmt: skip


def _agreement(ours: Floats, theirs: Floats, cloud: AtomCloud, label: str) -> list[Row]:
    rows = []
    for id, words, value, wanted, note in (
        ("formula", "with their interpolation of positions in our engine", _intensity(their_phases(cloud)), None, ""),
        ("true", "as we compute it", ours, 0.01,
         "they spread each atom over four pixels and divide by sin(q d)/(q d), which lacks a π: an atom between pixels"
         " of 0.16 Å is damped, by 17 % in amplitude at 1.5 Å⁻¹"),
    ):  # fmt: skip
        rms, n = pattern_rms(value, theirs)
        goal, met = at_most(rms, wanted) if wanted else ("", None)
        rows.append(
            Row(id=f"abtem-rms-{id}", quantity=f"{TITLE}, diffraction pattern, {words}", value=rms,
                unit="relative rms", peer=label, goal=goal, met=met, n=n, note=note)
        )  # fmt: skip
    return rows


def pattern_rms(found: Floats, reference: Floats) -> tuple[float, int]:
    """(√Σ(a − b)²/√Σb², points) of intensities at 0.03 < q < 1.6 Å⁻¹."""
    q = np.fft.fftfreq(POINTS, EXTENT_ANGSTROM / POINTS)
    length = np.hypot(q[:, None], q[None, :])
    inside = (length > Q_RANGE[0]) & (length < Q_RANGE[1])
    difference = np.linalg.norm(found[inside] - reference[inside])
    return float(difference / np.linalg.norm(reference[inside])), int(inside.sum())


def their_phases(cloud: AtomCloud) -> Iterator[Singles]:
    """Slices as abTEM 1.0.11 makes them: deltas spread over four pixels, divided by sin(q d)/(q d) with q in cycles."""
    n, step = POINTS, EXTENT_ANGSTROM / POINTS
    fx, fy = np.fft.rfftfreq(n)[None, :], np.fft.fftfreq(n)[:, None]
    cycles = np.hypot(fx, fy)
    q2 = (cycles / step) ** 2
    scale = relativistic_gamma(energy_kev=ENERGY_KEV) * wavelength_angstrom(energy_kev=ENERGY_KEV) / step**2
    fields = [
        scale * electron_factor(e, 0.25 * q2) * np.exp(-2 * math.pi**2 * u * q2) / np.sinc(cycles / math.pi)
        for e, u in zip(cloud.elements, cloud.u_iso_angstrom2, strict=True)
    ]
    member = np.floor(cloud.position_angstrom[:, 2] / SLICE_ANGSTROM).astype(int)
    x, y = cloud.position_angstrom[:, 0] / step, cloud.position_angstrom[:, 1] / step
    for number in range(SLICES):
        total = np.zeros(q2.shape, dtype=np.complex128)
        for kind, field in enumerate(fields):
            own = np.flatnonzero((member == number) & (cloud.element == kind))
            if len(own):
                total += field * np.fft.rfft2(_bilinear(x[own], y[own], n))
        yield np.fft.irfft2(total, s=(n, n)).astype(np.float32)


def _bilinear(x: Floats, y: Floats, n: int) -> Floats:
    image = np.zeros((n, n))
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    u, v = x - column, y - row
    for dy, wy in ((0, 1.0 - v), (1, v)):
        for dx, wx in ((0, 1.0 - u), (1, u)):
            np.add.at(image, ((row + dy) % n, (column + dx) % n), wy * wx)
    return image


def _intensity(phases: Iterator[Singles]) -> Floats:
    grid = Grid(points=POINTS, extent_angstrom=EXTENT_ANGSTROM)
    wave = exit_waves(
        phases=phases,
        incident=plane_wave(grid=grid, waves=1),
        grid=grid,
        energy_kev=ENERGY_KEV,
        slice_angstrom=SLICE_ANGSTROM,
        directions=[[0.0, 0.0, 1.0]],
    )[0]
    return np.asarray(np.abs(wave.astype(np.complex128)) ** 2)


def peak_bytes() -> int:
    """Largest resident memory of this process; what the kernel reports to getrusage includes its parent's."""
    fields = Path("/proc/self/status").read_text(encoding="ascii").split()
    return 1024 * int(fields[fields.index("VmHWM:") + 1])


def _own(problem: Path, result: Path, *, repeats: int) -> dict[str, Any]:
    """Seconds and peak memory of a fresh process of ours, and its pattern."""
    command = [sys.executable, "-m", "validation.engines.multislice_abtem", str(problem), str(result), str(repeats)]
    environment = dict(os.environ) | dict.fromkeys(THREADS, "1")
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    with np.load(result) as file:
        answer["intensity"] = np.asarray(file["intensity"])
    return answer


def _main(problem: Path, result: Path, repeats: int) -> None:
    with np.load(problem) as p:
        cloud = AtomCloud(
            position_angstrom=p["position"],
            element=p["element"],
            weight=p["weight"],
            elements=tuple(str(s) for s in p["symbols"]),
            u_iso_angstrom2=tuple(float(u) for u in p["u_iso"]),
        )
    grid = Grid(points=POINTS, extent_angstrom=EXTENT_ANGSTROM)
    seconds, intensity = [], np.zeros(0)
    for _ in range(1 + repeats):  # the first one compiles
        start = process_time()
        phases = phase_slices(atoms=cloud, grid=grid, energy_kev=ENERGY_KEV, slice_angstrom=SLICE_ANGSTROM)
        intensity = _intensity(phases)
        seconds.append(process_time() - start)
    peak = peak_bytes() / 2**20
    np.savez(result, intensity=intensity)
    print(json.dumps({"seconds": float(np.median(seconds[1:])), "peak_mib": peak}))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
