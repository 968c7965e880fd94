"""What each target of the Makefile would run exists, and what it lacks it asks for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.docs.blocks import REPO
from tests.unit.docs.calls import check_recipe, planned

TEXT = (REPO / "Makefile").read_text()
TARGETS = re.findall(r"^([a-z-]+):.*## ", TEXT, re.M)
GIVEN = ["DATA=folder", "KEY=private.pem"]


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_target_would_run_is_there(target: str) -> None:
    recipe = planned([target, *GIVEN])
    check_recipe(recipe)
    for module in re.findall(r"python -m ((?:services|deploy|tests)[\w.]*)", recipe):
        place = REPO / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()
    named = re.findall(r"(?<![\w./])(?:tests|deploy|docs)/[\w/.]*\w(?![\w\\]*\[)", recipe)
    assert [file for file in named if not (REPO / file).exists()] == []


def test_every_target_is_listed_and_made_each_time() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", TEXT, re.M)
    assert set(TARGETS) == set(phony.split())


@pytest.mark.parametrize("target", ["bench-forecast", "bench-decide", "bench-llm"])
def test_a_benchmark_on_traces_asks_for_their_folder(target: str) -> None:
    with pytest.raises(ValueError, match=f"make {target} DATA=folder"):
        planned([target])


@pytest.mark.parametrize("target", ["test", "test-slow"])
def test_what_tests_print_is_shown_where_it_is_asked_for(target: str) -> None:
    (workers,) = re.findall(r"pytest -n (\d+)", planned([target]))
    assert int(workers) > 0
    shown = planned([target, "ARGS=-s tests/e2e/test_up_heals.py"])
    assert re.findall(r"pytest -n (\d+) .* (-s) ", shown) == [("0", "-s")]


def test_what_the_tests_themselves_were_called_with_is_not_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAKEFLAGS", " -- ARGS=tests/unit")
    monkeypatch.setenv("ARGS", "tests/unit")
    assert "tests/unit" not in planned(["test"])


def test_nothing_that_failed_is_said_in_a_line(tmp_path: Path) -> None:
    command = ["make", "-s", "-o", "install", "-f", str(REPO / "Makefile"), "test-failed"]
    done = subprocess.run(
        [*command, f"VENV={sys.prefix}"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    said, _ = done.stderr.splitlines()  # make adds its own
    assert said == "the last run named no test that failed: nothing to run again"
