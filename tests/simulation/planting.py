"""A pytest plugin: a run of tests with one fault planted, by its number."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from tests.simulation.mutants import planted
from tests.simulation.worker_mutants import MUTANTS

VARIABLE = "HARMONY_PLANTED"
_STACK = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Plant it before anything is collected, so that tests import what is mutated."""
    _STACK.enter_context(planted(list(MUTANTS)[int(os.environ[VARIABLE])]))


def pytest_unconfigure(config: pytest.Config) -> None:
    _STACK.close()
