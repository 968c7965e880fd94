"""The import contracts hold, and they bite: a planted violation of each is found."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.architecture import lint_copies

REPO = Path(__file__).parents[2]
LINT = Path(sys.executable).parent / "lint-imports"


def test_contracts_hold() -> None:
    command = [str(LINT), "--no-cache", str(REPO / "pyproject.toml")]
    result = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def plant(folder: Path, module: str, line: str) -> Path:
    """A small copy of the package layout with one bad import in `module`."""
    for top in ("forecaster", "decider", "services"):
        for package in (REPO / top).rglob("__init__.py"):
            write_module(folder / package.relative_to(REPO), "")
    for name in (
        "forecaster/network/flow.py",
        "decider/belief/model.py",
        "decider/config.py",
        "decider/planning/risk.py",
        "forecaster/network/model.py",
    ):
        write_module(folder / name, "")
    config = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["importlinter"]
    (folder / "pyproject.toml").write_text(_contracts_toml(config))
    write_module(folder / module, line + "\n")
    return folder


def write_module(path: Path, text: str) -> None:
    """A module, and the folder around it where that is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _contracts_toml(config: dict) -> str:
    render = json.dumps  # strings, booleans and arrays are the same in TOML

    head = {key: value for key, value in config.items() if key != "contracts"}
    lines = ["[tool.importlinter]", *(f"{key} = {render(value)}" for key, value in head.items())]
    for contract in config["contracts"]:
        # The planted tree has none of the allowed edges, so the allowance itself is not needed.
        kept = {k: v for k, v in contract.items() if not k.startswith(("ignore", "unmatched"))}
        lines += ["[[tool.importlinter.contracts]]"]
        lines += [f"{key} = {render(value)}" for key, value in kept.items()]
    return "\n".join(lines)


PLANTED = (
    ("forecaster/predict.py", "import services.kernel"),
    ("forecaster/predict.py", "import decider"),
    ("decider/decide.py", "import forecaster"),
    ("decider/decide.py", "import time"),
    ("forecaster/predict.py", "import os"),
    ("forecaster/predict.py", "from sqlalchemy import text"),
    ("services/ingest/service.py", "import services.forecasting"),
    ("services/ingest/service.py", "import forecaster"),
    ("services/scaler/service.py", "import services.operator"),
    ("services/scaler/service.py", "import decider"),
    ("services/kernel/jobs.py", "import services.admin"),
    ("services/kernel/jobs.py", "import decider"),
    ("services/decision/decide/service.py", "import services.lab"),
    ("services/backtest/study.py", "import services.lab"),
    ("services/simulator/run.py", "import services.cli"),
    ("services/kernel/jobs.py", "import services.worker"),
    ("forecaster/network/model.py", "import nflows"),
    ("forecaster/predict.py", "import lightgbm"),
    ("services/decision/decide/service.py", "import pymc"),
    ("services/decision/decide/service.py", "from decider.planning import risk"),
    ("services/backtest/study.py", "from decider.config import DecideConfig"),
    ("services/forecasting/tasks.py", "import forecaster.network.model"),
)
CLEAN = ("forecaster/predict.py", "import numpy")


@dataclass(frozen=True, slots=True)
class Linted:
    """What the linter said of one tree."""

    status: int
    text: str


@pytest.fixture(scope="module")
def linted(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Linted]:
    """What is said of each planted tree, by its line; the linter is loaded once for all."""
    folders = {
        (module, line): plant(tmp_path_factory.mktemp("planted"), module, line)
        for module, line in (*PLANTED, CLEAN)
    }
    command = [sys.executable, str(Path(lint_copies.__file__)), *map(str, folders.values())]
    subprocess.run(command, check=True)
    found = {}
    for each, folder in folders.items():
        status, _, text = (folder / lint_copies.OUTPUT).read_text().partition("\n")
        found[each] = Linted(int(status), text)
    return found


@pytest.mark.parametrize(("module", "line"), PLANTED)
def test_contracts_bite(linted: dict[tuple[str, str], Linted], module: str, line: str) -> None:
    result = linted[module, line]
    assert result.status == 1, f"{line!r} in {module} went unnoticed:\n{result.text}"
    assert "BROKEN" in result.text


def test_planted_tree_without_violation_is_clean(
    linted: dict[tuple[str, str], Linted],
) -> None:
    result = linted[CLEAN]
    assert result.status == 0, result.text
