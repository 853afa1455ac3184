"""Text of .cif_pets files, kinematical and dynamical."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.io.pets_frame import pets_geometry
from pipeline.types import MergedReflections, Orientation, Reflections
from twin.physics.electrons import wavelength_angstrom
from twin.physics.lattice import cell_from_reciprocal_matrix

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def _head(orientation: Orientation, *, mode: str, g_max: float, width: float, details: str = "") -> list[str]:
    cell = cell_from_reciprocal_matrix(orientation.ub)
    ub = pets_geometry(orientation)[0]
    volume = 1.0 / abs(float(np.linalg.det(orientation.ub)))
    names = ("length_a     ", "length_b     ", "length_c     ", "angle_alpha  ", "angle_beta   ", "angle_gamma  ")
    lines = [
        "data_pets",
        *[f"_cell_{n}{v:10.5f}" for n, v in zip(names, cell.parameters, strict=True)],
        f"_cell_volume       {volume:12.5f}",
    ]
    lines.append(
        f"_diffrn_radiation_wavelength {wavelength_angstrom(energy_kev=orientation.microscope.beam.energy_kev):.5f}"
    )
    lines += [f"_diffrn_orient_matrix_UB_{i + 1}{j + 1} {ub[i, j]:8.5f}" for i in range(3) for j in range(3)]
    lines += [
        "_diffrn_pets_omega  0.00000",
        "",
        "_diffrn_measurement_details",
        ";",
        f"data collection geometry: {mode}",
    ]
    lines += [f"dstarmax:  {g_max:.3f}", f"RC width:  {width:.5f}", "mosaicity:  0.000"]
    omega = (-orientation.microscope.projection.tilt_axis_deg) % 360.0
    return [*lines, f"rotation axis position:  {omega:.3f}", *details.splitlines(), ";", ""]


def _zones(orientation: Orientation, frames: Ints, precession_deg: float, scale: Floats) -> list[str]:
    _, omega, alpha, beta = pets_geometry(orientation)
    names = ("id", "u", "v", "w", "precession_angle", "alpha", "beta", "omega", "scale")
    lines = ["loop_", *[f"_diffrn_zone_axis_{n}" for n in names]]
    axes = orientation.rotation @ orientation.ub
    for n, f in enumerate(frames):
        uvw = -axes[f, 2, :]  # z of PETS runs against the beam
        uvw = uvw / max(float(np.max(np.abs(uvw))), 1e-12)
        lines.append(
            f"{n + 1:4d} {uvw[0]:8.5f} {uvw[1]:8.5f} {uvw[2]:8.5f} {precession_deg:12.3f} "
            f"{alpha[f]:9.3f} {beta[f]:9.3f} {omega[f] % 360.0:9.3f} {scale[f]:9.3f}"
        )
    return lines


def _rows(hkl: Ints, intensity: Floats, sigma: Floats, zone: Ints) -> list[str]:
    names = ("index_h", "index_k", "index_l", "intensity_meas", "intensity_sigma", "zone_axis_id")
    body = [
        f"{h:4d}{k:4d}{m:4d} {i:12.2f}{s:12.2f}{z:6d}"
        for (h, k, m), i, s, z in zip(hkl.tolist(), intensity.tolist(), sigma.tolist(), zone.tolist(), strict=True)
    ]
    return ["loop_", *[f"_refln_{n}" for n in names], *body]


_MODES = {"precession": "precession", "continuous": "continuous rotation", "stills": "static", "serial": "static"}


def dynamical_cif_pets(
    *,
    orientation: Orientation,
    reflections: Reflections,
    mode: str = "precession",
    r_s_g_max: float | None = 0.9,
    g_max_per_angstrom: float | None = None,
    details: str = "",
) -> str:
    """Text of the dynamical file: all reflections, frame by frame, with |s| ≤ ``r_s_g_max`` times |g| φ (None: all).
    ``details``: more lines about the measurement."""
    r = reflections
    length = np.linalg.norm(r.hkl @ orientation.ub.T, axis=1)
    keep = orientation.indexed[r.frame]
    if r_s_g_max is not None and r.precession_deg > 0:
        keep = keep & (np.abs(r.excitation_error_per_angstrom) <= r_s_g_max * length * np.radians(r.precession_deg))
    frames = np.unique(r.frame[keep])
    number = np.searchsorted(frames, r.frame[keep]) + 1
    order = np.lexsort((r.hkl[keep, 2], r.hkl[keep, 1], r.hkl[keep, 0], number))
    g_max = g_max_per_angstrom or float(np.max(length, initial=0.0))
    lines = _head(orientation, mode=_MODES[mode], g_max=g_max, width=0.001, details=details)
    lines += _zones(orientation, frames, r.precession_deg, r.frame_scale)
    lines += _rows(r.hkl[keep][order], r.intensity[keep][order], r.sigma[keep][order], number[order])
    return "\n".join(lines) + "\n"


def kinematical_cif_pets(
    *, orientation: Orientation, merged: MergedReflections, reflections: Reflections, mode: str = "precession"
) -> str:
    """Text of the kinematical file: one line for each merged reflection; the zone is the frame nearest to its
    middle."""
    r = reflections
    frames = np.flatnonzero(orientation.indexed)
    best = np.ones(len(merged.hkl), dtype=np.int64)
    nearest: dict[tuple[int, ...], tuple[float, int]] = {}
    for h, s, f in zip(
        map(tuple, r.hkl.tolist()), np.abs(r.excitation_error_per_angstrom).tolist(), r.frame.tolist(), strict=True
    ):
        if h not in nearest or s < nearest[h][0]:
            nearest[h] = (s, f)
    position = {int(f): n + 1 for n, f in enumerate(frames)}
    for n, h in enumerate(map(tuple, merged.hkl.tolist())):
        best[n] = position.get(nearest.get(h, (0.0, -1))[1], 1)
    lines = _head(orientation, mode=_MODES[mode], g_max=merged.g_max_per_angstrom, width=0.001)
    lines += _zones(orientation, frames, r.precession_deg, r.frame_scale)
    lines += _rows(merged.hkl, merged.intensity, merged.sigma, best)
    return "\n".join(lines) + "\n"
