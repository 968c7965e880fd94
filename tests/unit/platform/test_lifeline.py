"""A child of a parent that has ended does not run at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial

import pytest

from services.platform.lifeline import end_with_parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the signal is Linux only")


def run(parent: int) -> int:
    argv = [sys.executable, "-c", "pass"]
    lifeline = partial(end_with_parent, signal.SIGTERM, parent)
    return subprocess.run(argv, check=False, preexec_fn=lifeline).returncode


def test_a_parent_that_ended_before_the_kernel_was_asked_is_noticed() -> None:
    assert run(os.getpid()) == 0
    assert run(os.getpid() + 1) == -signal.SIGKILL
