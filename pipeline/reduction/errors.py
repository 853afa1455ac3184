"""The one way in which a reduction fails: with a sentence."""

from __future__ import annotations


class ReductionError(ValueError):
    """The frames cannot be reduced; the message says why and what was tried."""
