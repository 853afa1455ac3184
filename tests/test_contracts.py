"""Imports point one way, and the pipeline never sees the truth: the contract is checked with the tests."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TRUTH = ("twin.simulate", "twin.specimen", "twin.response", "twin.model.truth")
TRUTH_KEEPERS = (*TRUTH, "hardware", "validation", "scenarios")


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def test_the_import_contract_holds() -> None:
    """In a process of its own: import-linter configures logging, which would silence every logger of this one."""
    pytest.importorskip("importlinter", reason="import-linter is not installed here")
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_module_of_the_pipeline_names_a_keeper_of_the_truth() -> None:
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        seen = {name for name in _imports(path) if name.startswith(TRUTH_KEEPERS)}
        assert not seen, f"{path.relative_to(ROOT)} imports {seen}"


def test_stages_of_the_pipeline_import_no_keeper_of_the_truth() -> None:
    stages = ROOT / "scenarios" / "stages"
    for name in ("reduce", "solve", "refine"):
        seen = {n for n in _imports(stages / f"{name}.py") if n.startswith(TRUTH)}
        assert not seen, f"{name} imports {seen}"


def test_nothing_unpickles_or_evaluates() -> None:
    """Data are never code: no pickle, no eval or exec, no YAML, in any package of ours."""
    for package in ("twin", "pipeline", "hardware", "scenarios", "validation"):
        for path in sorted((ROOT / package).rglob("*.py")):
            names = _imports(path)
            assert not {"pickle", "yaml", "marshal", "shelve", "dill", "joblib"} & names, path
            calls = {
                node.func.id
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert not {"eval", "exec"} & calls, path
