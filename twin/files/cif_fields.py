"""Reading the text of a CIF: bytes to blocks, tags to numbers, each failure one sentence that names file and tag.

Syntax: Hall, Allen & Brown, Acta Cryst. A47 (1991) 655; numbers may carry an s.u. in parentheses.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import gemmi

from twin.files.errors import InputError

MAX_FILE_BYTES = 50_000_000
_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)(?:\([0-9]{1,9}\))?")
_OPEN_QUOTE = re.compile(r"(?:^|\s)(['\"])(?!.*\1(?:\s|$))")


@dataclass(frozen=True, slots=True, kw_only=True)
class CifBlock:
    """One data block and the name of its file, for the sentences."""

    source: str
    block: gemmi.cif.Block

    def text(self, *tags: str) -> str | None:
        """Value of the first of ``tags`` that stands in the block and is neither ``?`` nor ``.``."""
        for tag in tags:
            value: str | None = self.block.find_value(tag)
            if value is not None and not gemmi.cif.is_null(value):
                return str(gemmi.cif.as_string(value))
        return None

    def column(self, *tags: str) -> list[str] | None:
        """Values of the first of ``tags`` that is there, as raw strings (nulls stay ``?`` or ``.``)."""
        for tag in tags:
            values = list(self.block.find_values(tag))
            if values:
                return [str(v) if gemmi.cif.is_null(v) else str(gemmi.cif.as_string(v)) for v in values]
        return None

    def number(self, tag: str) -> float:
        """A finite number that must be there."""
        value = self.text(tag)
        if value is None:
            raise InputError(f"{self.source}: {tag} is missing; a number is needed")
        return parse_number(value, source=self.source, tag=tag)


def parse_number(text: str, *, source: str, tag: str) -> float:
    """'9.1(2)' -> 9.1; anything that is not a finite plain number is refused."""
    match = _NUMBER.fullmatch(text) if len(text) <= 40 else None
    value = float(match.group(1)) if match else math.nan
    if not math.isfinite(value):
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise InputError(f"{source}: {tag} is {shown!r}; a finite number such as 9.174 or 9.174(2) is allowed")
    return value


def read_blocks(path: str | Path) -> list[CifBlock]:
    """All data blocks of the file."""
    file = Path(path)
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{file.name}: larger than {MAX_FILE_BYTES // 1_000_000} MB, the limit for a CIF")
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    return parse_blocks(raw, source=file.name)


def parse_blocks(raw: bytes, *, source: str) -> list[CifBlock]:
    """Data blocks of the bytes of a CIF (UTF-8, or Latin-1 as older programs write it)."""
    if b"\0" in raw:
        raise InputError(f"{source}: holds NUL bytes; a CIF is a text file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    document = _parse(text, source=source)
    if len(document) == 0:
        raise InputError(f"{source}: no data block; a CIF holds at least one line that starts with data_")
    return [CifBlock(source=source, block=block) for block in document]


def _parse(text: str, *, source: str) -> gemmi.cif.Document:
    """gemmi's parser; a second try with lines mended whose quote is never closed (Jana writes such lines)."""
    try:
        return gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        first = error
    try:
        return gemmi.cif.read_string(_close_quotes(text))
    except (ValueError, RuntimeError):
        reason = " ".join(str(first).split())[:160]
        raise InputError(f"{source}: not a readable CIF ({reason})") from None


def _close_quotes(text: str) -> str:
    """Add the missing quote at the end of a line that opens one and never closes it, outside text fields."""
    lines, inside = [], False
    for line in text.splitlines():
        if line.startswith(";"):
            inside = not inside
        elif not inside and not line.lstrip().startswith("#"):
            match = _OPEN_QUOTE.search(line)
            if match:
                line += match.group(1)
        lines.append(line)
    return "\n".join(lines) + "\n"
