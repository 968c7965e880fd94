"""Files that share a demo are dealt to one worker: the list of them is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

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
