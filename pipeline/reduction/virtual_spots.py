"""Spots in three dimensions: sums of successive frames searched like frames, for series too weak frame by frame.

A node far inside passes the Ewald sphere over several fine slices. Summed over n of them its counts add up and the
noise grows as sqrt(n) only; a reflection that one slice holds wholly is lost in the sum, so single frames and sums of
several widths are searched, and each reflection is taken where it is most significant.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pipeline.reduction.background import bad_on_frame, frame_background
from pipeline.reduction.peaks import Found, find_peaks, join_found, select_peaks
from pipeline.types import Peaks
from twin.model.dataset import Dataset

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WIDTHS = (2, 4)  # frames in a sum; they start at every half of the width
SAME_PX = 2.5  # within which spots of overlapping sums are one


def _windows(frames: int, width: int) -> Ints:
    return np.arange(0, max(frames - width + 1, 0), max(width // 2, 1), dtype=np.int64)


def _nearest_frame(peaks: Peaks, net: Floats, first: int) -> Ints:
    """Frame at the centre of the counts within 2 px of each spot; net: (width, slow, fast) counts above background."""
    width, rows, columns = net.shape
    offsets = np.arange(-2, 3)
    y = np.clip(np.rint(peaks.slow_px).astype(int)[:, None] + offsets, 0, rows - 1)
    x = np.clip(np.rint(peaks.fast_px).astype(int)[:, None] + offsets, 0, columns - 1)
    sums = np.maximum(net[:, y[:, :, None], x[:, None, :]].sum(axis=(2, 3)), 0.0) + 1e-6
    middle = np.arange(width) @ sums / sums.sum(axis=0)
    return np.asarray(first + np.rint(middle), dtype=np.int64)


def virtual_spots(
    *, dataset: Dataset, centre_px: Floats, beam_radius_px: float, gain: float, threshold: float
) -> tuple[Found, float]:
    """Spots of sums of ``WIDTHS`` frames, each given to the frame in the middle of its counts; pixels searched."""
    lists: list[Found] = []
    pixels = 0.0
    for width in WIDTHS:
        for first in _windows(len(dataset.counts), width):
            own = slice(int(first), int(first) + width)
            centre = centre_px[own].mean(axis=0)
            bad = dataset.bad_pixels.copy()
            for f in range(own.start, own.stop):
                bad |= bad_on_frame(dataset=dataset, frame=f, centre_px=centre, beam_radius_px=beam_radius_px)
            image = dataset.counts[own].astype(np.float32).sum(axis=0)
            model = frame_background(image=image, bad_pixels=bad, centre_px=(float(centre[0]), float(centre[1])))
            found = find_peaks(
                image=image, background=model, bad_pixels=bad, frame=int(first), gain=gain, threshold=threshold
            )
            pixels += float(np.count_nonzero(~bad))
            if len(found.z):
                net = dataset.counts[own].astype(np.float64) - model / width
                peaks = found.peaks
                frame = _nearest_frame(peaks, net, int(first))
                lists.append(Found(peaks=_on_frames(peaks, frame), z=found.z))
    return join_found(lists), pixels


def _on_frames(peaks: Peaks, frame: Ints) -> Peaks:
    return Peaks(
        frame=frame, fast_px=peaks.fast_px, slow_px=peaks.slow_px, intensity=peaks.intensity, sigma=peaks.sigma
    )


def join_windows(*, single: Found, sums: Found) -> Found:
    """Each reflection once, from the frame or sum in which it is most significant.

    Spots within ``SAME_PX`` and the widest sum's number of frames of a better one are the same reflection.
    """
    both = join_found([single, sums])
    p = both.peaks
    unit = SAME_PX / max(WIDTHS)
    tree = cKDTree(np.column_stack([p.fast_px, p.slow_px, p.frame * unit]))
    order = np.argsort(-both.z, kind="stable")
    free = np.ones(len(order), dtype=bool)
    kept = []
    for n in order:
        if free[n]:
            kept.append(int(n))
            free[tree.query_ball_point(tree.data[n], SAME_PX)] = False
    keep = np.sort(np.array(kept, dtype=np.int64))
    by_frame = keep[np.argsort(p.frame[keep], kind="stable")]
    return Found(peaks=select_peaks(p, by_frame), z=both.z[by_frame])
