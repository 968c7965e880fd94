"""A pytest plugin: a run of tests with one fault planted, by its number."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from tests.simulation import directed_mutants, worker_mutants
from tests.simulation.mutants import planted

MUTANTS = directed_mutants.MUTANTS | worker_mutants.MUTANTS
"""Each fault that a test finds, with that test."""
VARIABLE = "HARMONY_PLANTED"
_STACK = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Plant it before anything is collected, so that tests import what is mutated."""
    _STACK.enter_context(planted(list(MUTANTS)[int(os.environ[VARIABLE])]))


def pytest_unconfigure(config: pytest.Config) -> None:
    _STACK.close()
