"""Which of the orientations with the same spots each frame has: its intensities must be those of the other frames.

Where the lattice has rotations that the Laue class lacks (the cubic lattice of m-3), spots cannot tell the frames'
orientations apart, and their average would have too much symmetry. Frames are added one by one in the setting that
agrees best with those before, and then judged again against all the others until nothing changes (the idea of Brehm
& Diederichs, Acta Cryst. D70 (2014) 101). One setting common to all frames stays arbitrary: it only names the axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.observations import Observations
from pipeline.reduction.serial.known import KnownLattice
from twin.physics.symmetry import asymmetric_hkl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_SHARE = 0.3  # of the height of the rocking curve, for a reflection to be compared
SCATTER = 0.3  # of a normalised amplitude beyond counting: multiple scattering, the partiality
LEAST_WEIGHT = 1e-6
STARTS = 4
SWEEPS = 20
SHELLS = 15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChosenSettings:
    """setting (frames,): number among ``KnownLattice.settings``. correlation (frames, settings): of the frame's
    amplitudes with those of all other frames."""

    setting: Ints
    correlation: Floats

    def sentence(self) -> str:
        """For the log."""
        ranked = np.sort(self.correlation, axis=1)
        if ranked.shape[1] == 1:
            return f"settings: one only; frames agree with the others to a correlation of {np.median(ranked):.3f}"
        margin = ranked[:, -1] - ranked[:, -2]
        return (
            f"settings: {ranked.shape[1]} orientations have the same spots; told apart by a correlation of "
            f"{np.median(ranked[:, -1]):.3f} against {np.median(ranked[:, -2]):.3f} with the other frames "
            f"({np.count_nonzero(margin < 0.05)} frames by less than 0.05)"
        )


def normalised_amplitudes(o: Observations, height: Floats, g_length: Floats) -> tuple[Ints, Floats, Floats]:
    """Rows (m,) near enough to the middle of their rocking curve, √(I / height) over its mean in the shell, and the
    weight of each: 1 / (its variance + SCATTER²)."""
    rows = np.flatnonzero(height > LEAST_SHARE)
    amplitude = np.sqrt(np.maximum(o.intensity[rows], 0.0) / height[rows])
    deviation = 0.5 * o.sigma[rows] / np.sqrt(np.maximum(o.intensity[rows], o.sigma[rows]) * height[rows])
    frame_mean = np.bincount(o.frame[rows], weights=amplitude) / np.maximum(np.bincount(o.frame[rows]), 1)
    unit = np.maximum(frame_mean[o.frame[rows]], 1e-12)
    amplitude, deviation = amplitude / unit, deviation / unit
    edges = np.quantile(g_length[rows], np.linspace(0, 1, SHELLS + 1)[1:-1])
    shell = np.searchsorted(edges, g_length[rows])
    mean = np.bincount(shell, weights=amplitude, minlength=SHELLS) / np.maximum(
        np.bincount(shell, minlength=SHELLS), 1
    )
    level = np.maximum(mean[shell], 1e-12)
    return rows, amplitude / level, 1.0 / ((deviation / level) ** 2 + SCATTER**2)


def choose_settings(
    *, o: Observations, height: Floats, g_length: Floats, known: KnownLattice, frames: int
) -> ChosenSettings:
    """The setting of every frame. height (n,): the rocking curve at each observation, 1 in its middle."""
    rows, amplitude, weight = normalised_amplitudes(o, height, g_length)
    group = _groups(o.hkl[rows], known)
    order = np.argsort(o.frame[rows], kind="stable")
    bounds = np.searchsorted(o.frame[rows][order], np.arange(frames + 1))
    parts = [order[bounds[f] : bounds[f + 1]] for f in range(frames)]
    best: tuple[float, Ints, Floats] | None = None
    rank = np.argsort([-len(p) for p in parts], kind="stable")
    for start in range(STARTS if len(known.settings) > 1 else 1):
        sequence = np.roll(rank, -start * max(frames // STARTS, 1))
        setting, correlation = _settled(parts, amplitude, weight, group, sequence)
        value = float(np.sum(correlation[np.arange(frames), setting]))
        if best is None or value > best[0] + 1e-9:
            best = value, setting, correlation
    assert best is not None
    return ChosenSettings(setting=best[1], correlation=best[2])


def _groups(hkl: Ints, known: KnownLattice) -> Ints:
    """Number of the unique reflection of each row in each setting, (settings, m)."""
    renamed = [hkl @ np.rint(np.linalg.inv(t)).astype(np.int64).T for t in known.settings]
    unique = asymmetric_hkl(np.concatenate(renamed), known.hall, friedel=True)
    _, number = np.unique(unique, axis=0, return_inverse=True)
    return np.asarray(number, dtype=np.int64).reshape(len(renamed), -1)


def _settled(
    parts: list[Ints], amplitude: Floats, weight: Floats, group: Ints, sequence: Ints
) -> tuple[Ints, Floats]:
    """Frames added in ``sequence``, then judged again until none changes."""
    total, number = np.zeros(int(group.max()) + 1), np.zeros(int(group.max()) + 1)
    setting = np.full(len(parts), -1, dtype=np.int64)
    correlation = np.zeros((len(parts), len(group)))
    for _ in range(SWEEPS):
        changed = False
        for f in sequence:
            rows, old = parts[f], setting[f]
            if old >= 0:
                np.subtract.at(total, group[old, rows], weight[rows] * amplitude[rows])
                np.subtract.at(number, group[old, rows], weight[rows])
            correlation[f] = [
                _correlation(amplitude[rows], weight[rows], group[k, rows], total, number) for k in range(len(group))
            ]
            setting[f] = int(np.argmax(correlation[f]))
            changed |= setting[f] != old
            np.add.at(total, group[setting[f], rows], weight[rows] * amplitude[rows])
            np.add.at(number, group[setting[f], rows], weight[rows])
        if not changed:
            break
    return setting, correlation


def _correlation(amplitude: Floats, weight: Floats, group: Ints, total: Floats, number: Floats) -> float:
    """Of a frame's amplitudes with the means so far, weighed; 0 where fewer than five reflections are known."""
    known = number[group] > LEAST_WEIGHT
    if np.count_nonzero(known) < 5:
        return 0.0
    x, y = amplitude[known], total[group[known]] / number[group[known]]
    w = 1.0 / (1.0 / weight[known] + 1.0 / number[group[known]])
    x, y = x - (w @ x) / w.sum(), y - (w @ y) / w.sum()
    norm = float(np.sqrt((w @ x**2) * (w @ y**2)))
    return float(w @ (x * y)) / norm if norm > 0 else 0.0
