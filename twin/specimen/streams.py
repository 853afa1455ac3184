"""Random streams by name: what is drawn for one purpose and frame never shifts what is drawn for another."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """Philox generator of the purpose ``name`` ("mounting", "jitter/17", "shot/17") under the scenario's seed."""
    words = np.frombuffer(hashlib.sha256(name.encode("utf-8")).digest(), dtype="<u4")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *(int(w) for w in words)])))
