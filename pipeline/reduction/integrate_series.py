"""Integration of a whole series at predicted positions, and the profile that it learns on the way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.background import Background, bad_on_frame, fit_background, spread_background
from pipeline.reduction.background_kernels import subtract
from pipeline.reduction.geometry import Geometry, to_pixels
from pipeline.reduction.indexing import lattice_points
from pipeline.reduction.integrate import integrate_frame
from pipeline.reduction.observations import Observations
from pipeline.reduction.predict import near_spheres
from pipeline.reduction.rocking import Rocking
from pipeline.reduction.series import sweep_of
from pipeline.reduction.spot_profile import OVERSAMPLING, SpotProfile, make_profile, profile_sums
from pipeline.reduction.spots import Survey
from pipeline.reduction.workspace import Workspace, workspace
from twin.model.dataset import Dataset

Backgrounds = dict[int, Background]  # by frame, filled as frames are met

FRAMES_TO_LEARN_FROM = 60


def learn_profile(
    *,
    dataset: Dataset,
    seen: Survey,
    geometry: Geometry,
    strong: NDArray[np.bool_],
    backgrounds: Backgrounds,
    reach_px: int = 9,
) -> SpotProfile:
    """Mean shape of the strong indexed spots of at most FRAMES_TO_LEARN_FROM frames."""
    value = np.zeros((2 * reach_px * OVERSAMPLING + 1,) * 2)
    weight = np.zeros_like(value)
    peaks = seen.peaks
    frames = np.unique(peaks.frame[strong])
    work = workspace(dataset.bad_pixels.shape)
    for f in frames[:: max(len(frames) // FRAMES_TO_LEARN_FROM, 1)]:
        bad = net_frame(dataset, seen, geometry, int(f), backgrounds, work)
        own = strong & (peaks.frame == f)
        v, w = profile_sums(
            net=work.net,
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
    dataset: Dataset, seen: Survey, geometry: Geometry, f: int, backgrounds: Backgrounds, work: Workspace
) -> NDArray[np.bool_]:
    """Puts the background and the counts above it into ``work``; pixels not to be believed, (slow, fast)."""
    centre = geometry.centre_px[f]
    image = dataset.counts[f]
    bad = bad_on_frame(dataset=dataset, frame=f, centre_px=centre, beam_radius_px=seen.beam_radius_px)
    if f not in backgrounds:
        centre_px = (float(centre[0]), float(centre[1]))
        backgrounds[f] = fit_background(image=image, bad_pixels=bad, centre_px=centre_px)
    model = spread_background(backgrounds[f], (image.shape[0], image.shape[1]), work.background)
    subtract(image, model, work.net)
    return bad


def integrate_series(
    *,
    dataset: Dataset,
    seen: Survey,
    geometry: Geometry,
    centring: str,
    profile: SpotProfile,
    g_max_per_angstrom: float,
    rocking: Rocking,
    backgrounds: Backgrounds,
) -> tuple[Observations, SpotProfile]:
    """Every reflection whose rocking curve reaches into the sweep, on every frame; and the profile learned on the
    way."""
    hkl = lattice_points(ub=geometry.ub, centring=centring, g_max_per_angstrom=g_max_per_angstrom)
    g_zero = hkl @ geometry.ub.T
    near, on_frame, g, _, _ = near_spheres(
        g_zero=g_zero,
        rotation=geometry.rotation,
        sweep=sweep_of(dataset, geometry.microscope.projection.tilt_axis_deg),
        margin_per_angstrom=rocking.reach(np.linalg.norm(g_zero, axis=1)),
    )
    pixels = to_pixels(geometry, g[:, :2], on_frame)
    edges = np.searchsorted(on_frame, np.arange(len(dataset.counts) + 1))
    parts: list[tuple[NDArray[np.generic], ...]] = []
    value, weight = np.zeros_like(profile.grid), np.zeros_like(profile.grid)
    work = workspace(dataset.bad_pixels.shape)
    for f in range(len(dataset.counts)):
        own = slice(int(edges[f]), int(edges[f + 1]))
        xy = pixels[own]
        bad = net_frame(dataset, seen, geometry, f, backgrounds, work)
        got = integrate_frame(
            work=work,
            bad=bad,
            fast_px=xy[:, 0].copy(),
            slow_px=xy[:, 1].copy(),
            profile=profile,
            gain=seen.noise.gain,
        )
        value += got.learned[0]
        weight += got.learned[1]
        u = got.usable
        frame = np.full(np.count_nonzero(u), f)
        columns = (got.intensity, got.sigma, xy, got.moment_px, got.moment_sigma_px, got.base_variance)
        parts.append((hkl[near[own][u]], frame, *(c[u] for c in columns), got.variance_per_count[u]))
    table = [np.concatenate(c) for c in zip(*parts, strict=True)]
    o = Observations(
        hkl=table[0],
        frame=table[1],
        intensity=table[2],
        sigma=table[3],
        fast_px=table[4][:, 0],
        slow_px=table[4][:, 1],
        moment_px=table[5],
        moment_sigma_px=table[6],
        base_variance=table[7],
        variance_per_count=table[8],
    )
    return o, make_profile(value=value, weight=weight) if np.count_nonzero(weight) > 0.9 * weight.size else profile
