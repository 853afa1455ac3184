"""The run folder: finished work is kept, parts and stale results are made again, nothing foreign is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scenarios.load import load_scenario
from scenarios.progress import Silent
from scenarios.runfolder import MANIFEST, RunFolder, RunManifest, locked, prepare_folder, stage_key
from scenarios.schema import Scenario
from scenarios.stages.base import Context, Outcome, Stage, run_stage
from twin.files.errors import InputError


def _folder(path: Path) -> RunFolder:
    folder = prepare_folder(path, resume=False, overwrite=False)
    folder.write_manifest(RunManifest(scenario="toy", seed=1, versions={}))
    folder.file("input.txt").write_text("one")
    return folder


def _context(folder: RunFolder) -> Context:
    scenario = load_scenario("ito-01").scenario
    return Context(folder=folder, name="toy", scenario=scenario, workers=1, progress=Silent())


class _Toy:
    """A stage that upper-cases a file and counts how often it was made to."""

    def __init__(self) -> None:
        self.calls = 0
        self.kept: list[bool] = []
        self.settings: dict[str, object] = {"strength": 1}
        self.trouble: BaseException | None = None

    def work(self, context: Context, loaded: Any) -> Outcome:
        self.calls += 1
        self.kept.append(context.keep_parts)
        if self.trouble is not None:
            raise self.trouble
        context.file("output.txt").write_text(context.file("input.txt").read_text().upper())
        return Outcome(outputs=("output.txt",))

    def stage(self) -> Stage:
        def settings(scenario: Scenario) -> Mapping[str, object]:
            return self.settings

        return Stage(
            name="toy",
            title="Toy",
            sources=("scenarios/toml",),
            inputs=lambda scenario: ("input.txt",),
            settings=settings,
            work=self.work,
            forgiving=True,
        )


def test_a_finished_stage_is_kept_and_a_stale_one_made_again(tmp_path: Path) -> None:
    folder, toy = _folder(tmp_path / "run"), _Toy()
    context = _context(folder)
    assert not run_stage(toy.stage(), context, resume=True).skipped
    assert run_stage(toy.stage(), context, resume=True).skipped
    assert toy.calls == 1
    toy.settings = {"strength": 2}
    assert not run_stage(toy.stage(), context, resume=True).skipped
    folder.file("input.txt").write_text("two")
    assert not run_stage(toy.stage(), context, resume=True).skipped
    assert folder.file("output.txt").read_text() == "TWO"
    folder.file("output.txt").write_text("TwO")  # damaged after it was finished
    assert not run_stage(toy.stage(), context, resume=True).skipped
    assert folder.file("output.txt").read_text() == "TWO"
    folder.file("output.txt").unlink()
    assert not run_stage(toy.stage(), context, resume=True).skipped
    assert not run_stage(toy.stage(), context, resume=False).skipped
    assert toy.calls == 6


def test_parts_of_an_interrupted_stage_are_kept_only_when_nothing_changed(tmp_path: Path) -> None:
    folder, toy = _folder(tmp_path / "run"), _Toy()
    toy.trouble = KeyboardInterrupt()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_stage(toy.stage(), _context(folder), resume=True)
    toy.settings = {"strength": 2}
    with pytest.raises(KeyboardInterrupt):
        run_stage(toy.stage(), _context(folder), resume=True)
    assert toy.kept == [False, True, False]
    assert folder.manifest().stages == {}


def test_a_stage_that_gives_up_leaves_its_sentence_and_is_tried_again(tmp_path: Path) -> None:
    folder, toy = _folder(tmp_path / "run"), _Toy()
    toy.trouble = ValueError("no lattice was found in 12 peaks")
    ended = run_stage(toy.stage(), _context(folder), resume=True)
    assert ended.failed == "no lattice was found in 12 peaks"
    assert folder.manifest().stages["toy"].failed == ended.failed
    assert folder.manifest().timings_s == {}
    toy.trouble = None
    assert run_stage(toy.stage(), _context(folder), resume=True).failed is None


def test_a_missing_input_is_one_sentence(tmp_path: Path) -> None:
    folder, toy = _folder(tmp_path / "run"), _Toy()
    folder.file("input.txt").unlink()
    with pytest.raises(InputError, match=r"holds no input\.txt"):
        run_stage(toy.stage(), _context(folder), resume=True)


def test_the_key_sees_every_part() -> None:
    base: dict[str, Any] = {"stage": "a", "settings": {"x": 1}, "inputs": {"f": "0"}, "sources": ("scenarios/toml",)}
    keys = {stage_key(**base)}
    for change in ({"stage": "b"}, {"settings": {"x": 2}}, {"inputs": {"f": "1"}}, {"sources": ("scenarios/load",)}):
        keys.add(stage_key(**{**base, **change}))
    assert len(keys) == 5


def test_foreign_folders_are_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for resume, overwrite in ((False, False), (True, False), (False, True)):
        with pytest.raises(InputError, match="not a run folder"):
            prepare_folder(tmp_path, resume=resume, overwrite=overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(InputError, match="is a file"):
        prepare_folder(tmp_path / "thesis.txt", resume=False, overwrite=False)


def test_a_run_is_neither_overwritten_nor_continued_unasked(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "run")
    with pytest.raises(InputError, match="--resume"):
        prepare_folder(folder.path, resume=False, overwrite=False)
    prepare_folder(folder.path, resume=True, overwrite=False)
    assert folder.file("input.txt").is_file()
    prepare_folder(folder.path, resume=False, overwrite=True)
    assert list(folder.path.iterdir()) == []


def test_overwriting_does_not_follow_links_out_of_the_folder(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("keep")
    folder = _folder(tmp_path / "run")
    folder.file("link").symlink_to(precious)
    prepare_folder(folder.path, resume=False, overwrite=True)
    assert (precious / "data").read_text() == "keep"


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "run")
    with locked(folder), pytest.raises(InputError, match="in use"), locked(folder):
        pass
    with locked(folder):
        pass


def test_a_damaged_manifest_is_one_sentence(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "run")
    text = folder.file(MANIFEST).read_text()
    folder.file(MANIFEST).write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="manifest"):
        folder.manifest()


def test_timings_have_their_total(tmp_path: Path) -> None:
    folder, toy = _folder(tmp_path / "run"), _Toy()
    run_stage(toy.stage(), _context(folder), resume=True)
    record = folder.manifest().stages["toy"]
    manifest = replace(folder.manifest(), stages={"a": replace(record, seconds=1.5), "b": replace(record, seconds=2.0)})
    assert manifest.timings_s == {"a": 1.5, "b": 2.0, "total": 3.5}
