"""The run folder: where each stage's files lie, which stages are done, and from what they were made.

A stage is done when the manifest says so, its key (a hash over its settings, inputs and source code) is unchanged,
and its outputs still have the recorded hashes. The manifest is written after the outputs, each file atomically, so a
kill at any moment leaves either a finished stage or one that is made again.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from twin.files.atomic import sha256_bytes, sha256_file, sweep_stale
from twin.files.errors import InputError
from twin.files.json import canonical_json, read_json, write_json

MANIFEST = "manifest.json"
SCENARIO = "scenario.toml"
LOCK = ".lock"
MATERIAL = "truth/material.cif"
_PACKAGES = ("edtwin", "numpy", "scipy", "numba", "gemmi", "h5py", "pydantic")
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """One stage that ended. ``failed`` is the sentence with which it gave up, None when it succeeded."""

    key: str
    seconds: float
    outputs: dict[str, str]
    failed: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunManifest:
    """``manifest.json``. ``started`` holds the keys of stages that were begun: parts made from them can be kept."""

    scenario: str
    seed: int
    versions: dict[str, str]
    inputs: dict[str, str] = field(default_factory=dict)
    started: dict[str, str] = field(default_factory=dict)
    stages: dict[str, StageRecord] = field(default_factory=dict)

    @property
    def timings_s(self) -> dict[str, float]:
        """Wall time of the stages that ended, with their total."""
        seconds = {name: record.seconds for name, record in self.stages.items() if record.failed is None}
        return {**seconds, "total": sum(seconds.values())} if seconds else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """A run folder by its path."""

    path: Path

    def file(self, name: str) -> Path:
        """A file of the folder by its relative name."""
        return self.path / name

    def manifest(self) -> RunManifest:
        """The manifest, or an :class:`InputError` when the folder is not a run folder."""
        if not self.file(MANIFEST).is_file():
            raise InputError(f"{self.path} is not a run folder: it has no {MANIFEST}")
        return read_json(RunManifest, self.file(MANIFEST))

    def begin(self, stage: str, *, key: str) -> bool:
        """Note that a stage starts; True when an earlier start had the same key (its parts can be kept)."""
        manifest = self.manifest()
        same = manifest.started.get(stage) == key
        stages = {name: record for name, record in manifest.stages.items() if name != stage}
        self._write(replace(manifest, started={**manifest.started, stage: key}, stages=stages))
        return same

    def finish(self, stage: str, record: StageRecord) -> None:
        """Note that a stage ended."""
        manifest = self.manifest()
        self._write(replace(manifest, stages={**manifest.stages, stage: record}))

    def is_done(self, stage: str, *, key: str) -> bool:
        """Whether the stage ended well with this key and all of its outputs are as they were left."""
        record = self.manifest().stages.get(stage)
        if record is None or record.failed is not None or record.key != key:
            return False
        return all(self._matches(name, digest) for name, digest in record.outputs.items())

    def hashes(self, names: tuple[str, ...]) -> dict[str, str]:
        """SHA-256 of files that must be there."""
        for name in names:
            if not self.file(name).is_file():
                raise InputError(f"{self.path} holds no {name}, which the stage before makes")
        return {name: sha256_file(self.file(name)) for name in names}

    def write_manifest(self, manifest: RunManifest) -> None:
        """Replace the manifest."""
        self._write(manifest)

    def _write(self, manifest: RunManifest) -> None:
        write_json(self.file(MANIFEST), manifest)

    def _matches(self, name: str, digest: str) -> bool:
        path = self.file(name)
        return path.is_file() and sha256_file(path) == digest


def prepare_folder(path: Path, *, resume: bool, overwrite: bool) -> RunFolder:
    """A folder to run in: new, emptied, or continued; what is there already is never touched unasked."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file, not a folder for a run")
    used = path.is_dir() and any(p.name != LOCK and p.suffix != ".tmp" for p in path.iterdir())
    is_run = (path / MANIFEST).is_file()
    if used and not is_run:
        raise InputError(f"{path} is not empty and not a run folder; choose another one with -o")
    if used and not (resume or overwrite):
        raise InputError(f"{path} already holds a run; use --resume to continue it, --overwrite to start again, or -o")
    if overwrite and used:
        _empty(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}") from None
    return RunFolder(path=path)


@contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Keep other processes out of the folder; the lock ends with this process, however it ends."""
    with open(folder.file(LOCK), "w", encoding="ascii") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{folder.path} is in use by another edtwin process") from None
        sweep_stale(folder.path, older_than_s=0.0)
        yield


def stage_key(
    *, stage: str, settings: Mapping[str, object], inputs: Mapping[str, str], sources: tuple[str, ...]
) -> str:
    """Hash over everything that a stage's result depends on."""
    code = {source: source_digest(source) for source in sources}
    text = canonical_json({"stage": stage, "settings": dict(settings), "inputs": dict(inputs), "code": code})
    return sha256_bytes(text.encode("utf-8"))


@cache
def source_digest(package: str) -> str:
    """Hash over the Python files of a package or module, given as a path such as ``twin/physics``."""
    path = _ROOT / package
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    parts = [f"{file.relative_to(_ROOT).as_posix()} {sha256_file(file)}" for file in files if file.is_file()]
    return sha256_bytes("\n".join(parts).encode("utf-8"))


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _empty(path: Path) -> None:
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
