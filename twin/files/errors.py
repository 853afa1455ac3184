"""The one kind of error that bad input ends in: a sentence that names the file, the key and what is allowed."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used. The message is one sentence and is shown to the user without a traceback."""
