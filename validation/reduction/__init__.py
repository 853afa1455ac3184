"""Reduction against known truth, DIALS on the same frames, and measured series."""
