"""The one way in which results reach the disk: a file appears whole under its name or not at all.

Unique temporary name in the same folder, write, flush, fsync, ``os.replace``, fsync of the folder. A process killed at
any byte leaves at most a stray ``.*.tmp`` file, which :func:`sweep_stale` removes once its owner is gone.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twin.files.errors import InputError

_SUFFIX = ".tmp"
_DAY_S = 86400.0


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` for a library to write; on success it takes the name ``path``.

    On any exception the temporary file is removed and what was at ``path`` before stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / _temporary_name(path.name)
    try:
        yield temporary
        _sync_file(temporary)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "xb") as handle:
        handle.write(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 with the line ends that it has, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut, where the file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep_stale(folder: Path, *, older_than_s: float = _DAY_S) -> list[Path]:
    """Remove temporary files in ``folder`` that are old enough and whose owner no longer runs; returns them."""
    removed: list[Path] = []
    now = time.time()
    for path in sorted(Path(folder).glob(f".*{_SUFFIX}")):
        owner = _owner(path.name)
        if owner is None or _runs(*owner):
            continue
        with suppress(FileNotFoundError):
            if now - path.stat().st_mtime >= older_than_s:
                path.unlink()
                removed.append(path)
    return removed


def inside(folder: Path, name: str | Path) -> Path:
    """``folder / name`` resolved, links followed; refuses absolute names and whatever leaves ``folder``."""
    text = str(name)
    windows_drive = len(text) > 1 and text[1] == ":"
    if not text or "\x00" in text or "\\" in text or windows_drive or Path(text).is_absolute():
        raise InputError(f"{text!r} is not a relative path below {folder}")
    root = Path(folder).resolve()
    target = (root / text).resolve()
    if target == root or not target.is_relative_to(root):
        raise InputError(f"{text!r} leaves the folder {folder}; only paths below it are allowed")
    return target


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _temporary_name(name: str) -> str:
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    return f".{name[:120]}.{host}-{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"


def _owner(name: str) -> tuple[str, int] | None:
    """(host, pid) of a temporary name made by this module, else None."""
    parts = name.removesuffix(_SUFFIX).rsplit(".", 1)[-1].split("-")
    if len(parts) != 3 or not parts[1].isdecimal():
        return None
    return parts[0], int(parts[1])


def _runs(host: str, pid: int) -> bool:
    if host != hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]:
        return False  # another machine's: only its age can tell
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
