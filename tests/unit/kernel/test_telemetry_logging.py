"""Logs as processes write them: one JSON object per line, whoever speaks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import logging
from services.kernel.telemetry import configure_logging, get_logger
from services.kernel.tracing import span
configure_logging({level!r}, {log_format!r})
with span("work") as found:
    get_logger("ingest").info("stored", n=3)
    get_logger("ingest").debug("detail")
    logging.getLogger("some.library").info("chatter")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("some.library").exception("lost %s", "it")
print(format(found.trace_id, '032x'))
"""


def run(level: str, log_format: str) -> tuple[str, list[str]]:
    """The trace's id, and the lines on stderr."""
    code = PROGRAM.format(level=level, log_format=log_format)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr.splitlines()


def test_every_line_is_an_object_with_the_ids() -> None:
    trace_id, lines = run("INFO", "json")
    found: list[dict[str, Any]] = [json.loads(line) for line in lines]
    ours, theirs = found
    assert (ours["event"], ours["n"], ours["component"]) == ("stored", 3, "ingest")
    assert (theirs["event"], theirs["component"]) == ("lost it", "some.library")
    assert "ZeroDivisionError" in theirs["exception"]
    assert [line["level"] for line in found] == ["info", "error"]
    assert {line["trace_id"] for line in found} == {trace_id}
    assert all(line["timestamp"].endswith("Z") for line in found)


@pytest.mark.parametrize(("level", "events"), [("DEBUG", 4), ("INFO", 2), ("ERROR", 1)])
def test_libraries_speak_of_what_they_do_when_debugging_only(level: str, events: int) -> None:
    _, lines = run(level, "json")
    assert len(lines) == events


def test_people_can_read_them() -> None:
    _, lines = run("INFO", "console")
    assert "stored" in lines[0]
    assert "n=3" in lines[0]


def test_a_later_set_up_holds_for_loggers_that_have_spoken() -> None:
    """Not the stream and the level of their first line: that stream may be closed by now."""
    code = """
import io, sys
from services.kernel.telemetry import configure_logging, get_logger
usual, sys.stderr = sys.stderr, io.StringIO()
configure_logging("ERROR", "json")
log = get_logger("ingest")
log.error("first")
sys.stderr.close()
sys.stderr = usual
configure_logging("INFO", "json")
log.info("second")
sys.stderr = None  # as Celery replaces it, once a worker is set up
log.info("third")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events == ["second", "third"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full")
def test_a_line_that_cannot_be_written_fails_nothing() -> None:
    code = """
import logging
from services.kernel.telemetry import REGISTRY, configure_logging, get_logger
configure_logging("INFO", "json")
get_logger("ingest").error("ours")
logging.getLogger("some.library").error("theirs")
print(REGISTRY.get_sample_value("harmony_output_errors_total"))
"""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )
    assert float(done.stdout) >= 2
