"""How well a model explains amplitudes, reflection by reflection, and whether one model explains them better.

Errors are of two kinds, in proportion to the amplitude (noise of the scale, multiple scattering) and constant
(background); both are estimated from the misfit itself, so that what a model cannot explain counts as noise for it.
Two models are told apart by Vuong's test (Econometrica 57 (1989) 307): the sum of the differences of their log
likelihoods over the reflections, beside its own scatter. It holds for models that are both wrong, as kinematical
models of dynamical intensities are. A model with more parameters pays ½ ln n for each (Schwarz, Ann. Stat. 6 (1978)
461).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.physics.lattice import Floats

RELATIVE = np.geomspace(0.01, 0.64, 13)  # share of the amplitude; no data are better than 1 %
CONSTANT = np.geomspace(0.005, 0.64, 15)  # share of the mean amplitude
DECISIVE = 3.0  # standard deviations by which a model must be better


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation:
    """Log likelihood of each amplitude (n,), its variance (n,), and the number of free parameters."""

    log_likelihood: Floats
    variance: Floats
    parameters: int

    @property
    def total(self) -> float:
        """Σ log likelihood less Schwarz's penalty: higher is better."""
        return float(self.log_likelihood.sum()) - 0.5 * self.parameters * float(np.log(len(self.log_likelihood)))


def explanation(f_obs: Floats, calculated: Floats, *, parameters: int) -> Explanation:
    """Gaussian log likelihoods with the variance (a y)² + (b <F_o>)² whose a and b are most likely; (n,) each."""
    level = max(float(f_obs.mean()), 1e-30)
    square = ((f_obs - calculated) / level) ** 2
    share = (calculated / level) ** 2
    variance = (RELATIVE**2)[:, None, None] * share + (CONSTANT**2)[None, :, None]
    total = -0.5 * (np.log(variance) + square / variance).sum(axis=2)
    i, j = np.unravel_index(int(np.argmax(total)), total.shape)
    chosen = variance[i, j]
    return Explanation(log_likelihood=-0.5 * (np.log(chosen) + square / chosen), variance=chosen * level**2,
                       parameters=parameters)  # fmt: skip


def preference(first: Explanation, second: Explanation) -> float:
    """Vuong's statistic with Schwarz's correction: above DECISIVE the first model is better beyond doubt."""
    difference = first.log_likelihood - second.log_likelihood
    scatter = float(np.sqrt(len(difference)) * difference.std())
    return (first.total - second.total) / max(scatter, 1e-9)
