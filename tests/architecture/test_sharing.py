"""Files are dealt to workers: those that share a demo to one, what a dead one left to others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.plugins import WITHOUT_PLUGINS
from tests.sharing import OF_THE_SHORT_DEMO, FilesThatShare

REPO = Path(__file__).parents[2]


def test_every_file_that_looks_at_the_short_demo_is_named() -> None:
    looking = {
        path.relative_to(REPO).as_posix()
        for path in (REPO / "tests" / "e2e").glob("test_*.py")
        if "short_demo" in path.read_text()
    }
    assert looking == OF_THE_SHORT_DEMO


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/e2e/test_demo.py::test_a[1]", "tests/e2e (short demo)"),
        ("tests/e2e/test_tracing.py::test_b", "tests/e2e (short demo)"),
        ("tests/e2e/test_up.py::test_c", "tests/e2e/test_up.py"),
    ],
)
def test_they_are_one_unit_of_work_and_every_other_file_is_its_own(nodeid: str, unit: str) -> None:
    dealer = object.__new__(FilesThatShare)  # what it is told of a run does not matter here
    assert dealer._split_scope(nodeid) == unit


ENDS_ITS_WORKER = """
import os

import pytest


@pytest.mark.parametrize("n", range(4))
def test_it(n: int) -> None:
    if __file__.endswith("test_2.py") and n == 1:
        os.abort()
"""
CONFTEST = """
def pytest_xdist_make_scheduler(config, log):
    from tests.sharing import FilesThatShare
    return FilesThatShare(config, log)
"""


@pytest.mark.slow
def test_a_test_that_ends_its_worker_fails_alone_and_the_run_goes_on(tmp_path: Path) -> None:
    """As xdist has it, the test ends one worker after another, and what is left is never run."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for number in range(1, 5):
        (tmp_path / f"test_{number}.py").write_text(ENDS_ITS_WORKER)
    argv = ["-p", "no:faulthandler", "-p", "no:cacheprovider", *WITHOUT_PLUGINS]
    argv += ["-n", "2", "--dist", "loadfile"]
    # this test may itself be run by a worker
    outside = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *argv, f"--rootdir={tmp_path}", str(tmp_path)],
        env={**outside, "PYTHONPATH": str(REPO)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 failed, 15 passed" in done.stdout, done.stdout + done.stderr
    assert "test_2.py::test_it[1]" in done.stdout
