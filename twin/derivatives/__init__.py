"""Intensities of a frame with their first derivatives, as refinements need them; frames are made without them."""
