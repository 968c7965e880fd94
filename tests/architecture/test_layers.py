"""Layers inside each service, and rules that import-linter cannot express."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
SERVICES = ("ingest", "forecasting", "decision", "operator", "admin", "scaler")

# main > api, tasks, handlers > service > repository, sources, model_store, kube > translate, ...
LAYERS = (
    {"main"},
    {"api", "tasks", "handlers", "console", "listener"},
    {"service"},
    {"repository", "sources", "model_store", "kube"},
    {"translate", "schemas", "plan", "crd", "conditions"},
)
FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "manager", "misc", "util", "helper"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def sources() -> list[Path]:
    files = [
        path
        for package in ("forecaster", "decider", "services")
        for path in sorted((REPO / package).rglob("*.py"))
    ]
    assert files
    return files


def rank(module: str) -> int | None:
    """Layer of a module by its name; `api_workloads` counts as `api`."""
    for position, names in enumerate(LAYERS):
        if any(module == name or module.startswith(f"{name}_") for name in names):
            return position
    return None


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_a_module_imports_only_its_own_layer_or_lower(service: str) -> None:
    folder = REPO / "services" / service
    wrong = []
    for path in folder.glob("*.py"):
        own = rank(path.stem)
        if own is None:
            continue
        for name in imports(path):
            prefix = f"services.{service}."
            if not name.startswith(prefix):
                continue
            other = rank(name.removeprefix(prefix).split(".")[0])
            if other is not None and other < own:
                wrong.append(f"{path.name} imports {name}")
    assert wrong == []


def test_sql_only_in_repositories_and_the_kernel() -> None:
    wrong = []
    for path in sources():
        relative = path.relative_to(REPO).as_posix()
        is_home = "repository" in path.stem or relative.startswith("services/kernel/")
        if is_home:
            continue
        bad = {
            name
            for name in imports(path)
            if name.startswith("services.kernel.db.schema") or name in {"sqlalchemy.text"}
        }
        if bad and path.stem not in {"translate", "store"}:
            wrong.append(f"{relative}: {sorted(bad)}")
    assert wrong == []


def test_no_module_is_named_for_nothing() -> None:
    assert [str(path) for path in sources() if path.stem in FORBIDDEN_NAMES] == []


def test_sizes() -> None:
    wrong = []
    for path in sources():
        text = path.read_text()
        if "migrations/versions" in path.as_posix():
            continue
        n_lines = text.count("\n")
        if n_lines > MAX_FILE_LINES:
            wrong.append(f"{path.relative_to(REPO)}: {n_lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    wrong.append(f"{path.relative_to(REPO)}:{node.lineno} {node.name} {length}")
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "heavy"),
    [("decider", "pymc"), ("services.cli", "torch"), ("services.kernel.worker", "torch")],
)
def test_importing_stays_light(module: str, heavy: str) -> None:
    code = f"import {module}, sys; sys.exit('{heavy}' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=REPO, check=False)
    assert result.returncode == 0, f"import {module} loads {heavy}"
