"""The terminal table."""

from __future__ import annotations

import io

from rich.console import Console

from services.lab.report import scoreboard_table


def test_terminal_table(data):
    out = io.StringIO()
    Console(file=out, width=160).print(scoreboard_table(data))
    printed = out.getvalue()
    assert "Harmony" in printed
    assert "-25.0%" in printed
    assert printed.index("Harmony") < printed.index("Oracle")
