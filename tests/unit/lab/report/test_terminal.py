"""The terminal table."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from services.lab.report import scoreboard_table
from tests.unit.lab.report.pages import felt


def test_terminal_table(data):
    out = io.StringIO()
    Console(file=out, width=160).print(scoreboard_table(data))
    printed = out.getvalue()
    assert "Harmony" in printed
    assert "-25.0%" in printed
    assert printed.index("Harmony") < printed.index("Oracle")
    assert "as believed" not in printed


def test_what_is_believed_stands_beside_what_requests_felt(data):
    out = io.StringIO()
    Console(file=out, width=200).print(scoreboard_table(felt(data)))
    printed = out.getvalue()
    row = next(line for line in printed.splitlines() if "Harmony" in line)
    assert "0.80%" in row
    assert "0.40%" in row
    assert row.index("2 of 2") < row.index("0.80%") < row.index("0.40%")
    assert "over promise" in printed
    assert "what requests felt" in printed


def test_a_strict_promise_is_not_none(data):
    out = io.StringIO()
    strict = replace(data, epsilon=0.00001)
    Console(file=out, width=160).print(scoreboard_table(strict))
    assert "promised: at most 0.001% of time" in out.getvalue()
