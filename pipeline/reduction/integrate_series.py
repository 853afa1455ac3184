"""Integration of a whole series at predicted positions, and the profile that it learns on the way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.background import frame_background
from pipeline.reduction.indexing import lattice_points
from pipeline.reduction.integrate import integrate_frame
from pipeline.reduction.observations import Observations
from pipeline.reduction.predict import excitation
from pipeline.reduction.refine_geometry import Geometry
from pipeline.reduction.series import sweep_of
from pipeline.reduction.spot_profile import OVERSAMPLING, SpotProfile, make_profile, profile_sums
from pipeline.reduction.spots import Survey, bad_on_frame
from twin.model.dataset import Dataset
from twin.physics.projection import pixels_from_g


def learn_profile(
    *, dataset: Dataset, seen: Survey, geometry: Geometry, strong: NDArray[np.bool_], reach_px: int = 9
) -> SpotProfile:
    """Mean shape of the strong indexed spots."""
    value = np.zeros((2 * reach_px * OVERSAMPLING + 1,) * 2)
    weight = np.zeros_like(value)
    peaks = seen.peaks
    for f in np.unique(peaks.frame[strong]):
        net, _, bad = net_frame(dataset, seen, geometry, int(f))
        own = strong & (peaks.frame == f)
        v, w = profile_sums(
            net=net,
            bad=bad,
            fast_px=peaks.fast_px[own],
            slow_px=peaks.slow_px[own],
            total=peaks.intensity[own],
            reach_px=reach_px,
        )
        value += v
        weight += w
    return make_profile(value=value, weight=weight)


def net_frame(
    dataset: Dataset, seen: Survey, geometry: Geometry, f: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    centre = geometry.centre_px[f]
    bad = bad_on_frame(dataset=dataset, frame=f, centre_px=centre, beam_radius_px=seen.beam_radius_px)
    model = frame_background(image=dataset.counts[f], bad_pixels=bad, centre_px=(float(centre[0]), float(centre[1])))
    return (dataset.counts[f] - model).astype(np.float32), model, bad


def integrate_series(
    *,
    dataset: Dataset,
    seen: Survey,
    geometry: Geometry,
    centring: str,
    profile: SpotProfile,
    g_max_per_angstrom: float,
    margin_per_angstrom: float,
) -> tuple[Observations, SpotProfile]:
    """Every reflection within ``margin_per_angstrom`` of the sweep, on every frame; and the profile learned on the
    way."""
    hkl = lattice_points(ub=geometry.ub, centring=centring, g_max_per_angstrom=g_max_per_angstrom)
    sweep = sweep_of(dataset, geometry.microscope.projection.tilt_axis_deg)
    rotation = geometry.rotation
    parts: list[tuple[NDArray[np.generic], ...]] = []
    value, weight = np.zeros_like(profile.grid), np.zeros_like(profile.grid)
    for f in range(len(dataset.counts)):
        g = hkl @ (rotation[f] @ geometry.ub).T
        s, half = excitation(g_lab=g, sweep=sweep)
        near = np.flatnonzero(np.abs(s) < half + margin_per_angstrom)
        xy = pixels_from_g(g_xy=g[near, :2], microscope=geometry.microscope, centre_px=geometry.centre_px[f])
        net, model, bad = net_frame(dataset, seen, geometry, f)
        got = integrate_frame(
            net=net,
            background=model,
            bad=bad,
            fast_px=xy[:, 0].copy(),
            slow_px=xy[:, 1].copy(),
            profile=profile,
            gain=seen.noise.gain,
        )
        value += got.learned[0]
        weight += got.learned[1]
        u = got.usable
        parts.append(
            (hkl[near[u]], np.full(np.count_nonzero(u), f), got.intensity[u], got.sigma[u], xy[u, 0], xy[u, 1])
        )
    columns = [np.concatenate(c) for c in zip(*parts, strict=True)]
    o = Observations(
        hkl=columns[0], frame=columns[1], intensity=columns[2], sigma=columns[3], fast_px=columns[4], slow_px=columns[5]
    )
    return o, make_profile(value=value, weight=weight) if np.count_nonzero(weight) > 0.9 * weight.size else profile
