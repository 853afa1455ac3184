"""How far the orientations given for frames are off, as the frames themselves say.

Turns are drawn from a normal distribution about the orientations given, of one standard deviation σ for both axes and
all frames. What a frame alone would say of its turn, t, is known with the covariance D⁻¹ of its second derivatives, so
that t is normal with the covariance σ² + D⁻¹. The σ that makes all t most probable is found by expectation and
maximisation (Dempster, Laird & Rubin, J. R. Stat. Soc. B 39 (1977) 1): no choice of a spread is left to the user.
"""

from __future__ import annotations

import numpy as np

from twin.physics.lattice import Floats

_ITERATIONS = 500
_SETTLED = 1e-6


def turn_spread_deg(*, turned_deg: Floats, precision: Floats, held_by_deg: float, least_deg: float = 1e-3) -> float:
    """σ in degrees. turned_deg: (F, 2) turns found while each was held back by ``held_by_deg``.

    precision: (F, 2, 2) second derivatives of ½χ² of the frames' own data by their turns, in units of the variance of
    a residual (degrees⁻²). ``least_deg``: what is returned when the turns are no larger than their uncertainties.
    """
    identity = np.eye(2)
    given = np.linalg.solve(_regular(precision), (precision + identity / held_by_deg**2) @ turned_deg[..., None])
    information = precision @ given
    variance = held_by_deg**2
    for _ in range(_ITERATIONS):
        covariance = np.linalg.inv(precision + identity / variance)
        turn = covariance @ information
        after = 0.5 * float(np.mean(np.sum(turn**2, axis=(1, 2)) + np.trace(covariance, axis1=1, axis2=2)))
        done = abs(after / variance - 1.0) < _SETTLED
        variance = max(after, least_deg**2)
        if done:
            break
    return float(np.sqrt(variance))


def _regular(precision: Floats) -> Floats:
    """Precisions that can be inverted: a frame that says nothing of a turn keeps a little."""
    values, vectors = np.linalg.eigh(precision)
    floor = 1e-9 * max(float(np.max(values, initial=0.0)), 1e-300)
    return np.asarray((vectors * np.maximum(values, floor)[:, None, :]) @ np.swapaxes(vectors, 1, 2))
