"""`harmony backtest` as a stranger runs it: a file or a Prometheus of theirs in, a verdict out."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.contract.ingest.prometheus_world import prometheus_server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
STEP_S, N_STEPS = 600, 360
SERVICES = ("chat", "code")
ASKED = ("--hours", "6", "--risk", "0.05", "--policies", "hpa")


def load(service: str, at_s: float) -> float:
    """Requests a second: a day's wave, and a shorter one."""
    phase = 0.0 if service == "chat" else 2.0
    day = math.sin(2 * math.pi * at_s / 86_400 + phase)
    return 40.0 + 25.0 * day + 5.0 * math.sin(at_s / 2_900 + phase)


def backtest(folder: Path, *arguments: str) -> tuple[str, dict[str, Any], str]:
    """What it prints, its JSON and its page."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HARMONY_")}
    out, page = folder / "out.json", folder / "page.html"
    command = [sys.executable, "-m", "services.cli", "backtest", *arguments, *ASKED]
    done = subprocess.run(
        [*command, "--json", str(out), "--report", str(page)],
        env=kept | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "s  reading" in done.stderr, "progress is told where there is no terminal"
    return done.stdout, json.loads(out.read_text()), page.read_text()


def assert_verdict(printed: str, figures: dict[str, Any], page: str) -> None:
    """The terminal, the JSON and the page say the same of both services."""
    (run,) = figures["runs"]
    assert (run["epsilon"], figures["workloads"]) == (0.05, len(SERVICES))
    assert {"harmony", "hpa", "oracle"} <= run["policies"].keys()
    assert {"harmony", "hpa"} <= figures["frontiers"].keys()
    told = re.sub(r"\s+", " ", printed)
    for sentence in (run["verdict"], run["at_equal_violation"]["verdict"]):
        assert sentence in told
        assert sentence in page
    own = run["policies"]["harmony"]
    assert f"<td>{own['cost_usd']:,.0f}</td>" in page
    assert page.count("<svg") == 1


@pytest.fixture
def spreadsheet(tmp_path: Path) -> Path:
    """A file as a spreadsheet of half of Europe writes it: semicolons, and commas for points."""
    path = tmp_path / "mine.csv"
    start_s = datetime(2026, 1, 5, tzinfo=UTC).timestamp()
    with path.open("w", newline="") as file:
        rows = csv.writer(file, delimiter=";")
        rows.writerow(["ts", "service", "rps"])
        for at_s in (start_s + STEP_S * k for k in range(N_STEPS)):
            at = datetime.fromtimestamp(at_s, UTC).isoformat()
            for service in SERVICES:
                rows.writerow([at, service, f"{load(service, at_s):.2f}".replace(".", ",")])
    return path


def test_a_file_of_ones_own_gives_a_verdict_and_a_page(spreadsheet: Path, tmp_path: Path) -> None:
    printed, figures, page = backtest(tmp_path, str(spreadsheet))
    assert f"read {N_STEPS * len(SERVICES)} rows: time 'ts'" in printed
    assert "workloads 'service' (2), demand 'rps'" in printed
    assert "a comma for the point" in page
    assert figures["step_s"] == STEP_S
    assert_verdict(printed, figures, page)


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """A real one that holds the same services up to now."""
    now_s = int(time.time())
    lines = ["# TYPE load gauge"]
    for service in SERVICES:
        times = range(now_s - STEP_S * (N_STEPS + 2), now_s, 240)
        lines += [f'load{{service="{service}"}} {load(service, at_s)} {at_s}' for at_s in times]
    with prometheus_server(tmp_path, "\n".join([*lines, "# EOF", ""])) as url:
        yield url


def test_a_prometheus_of_ones_own_gives_a_verdict_and_a_page(
    prometheus: str, tmp_path: Path
) -> None:
    asked = ("--prometheus", prometheus, "--query", "sum by (service) (load)")
    printed, figures, page = backtest(tmp_path, *asked, "--since", "60h", "--step", str(STEP_S))
    assert "workloads 'workload' (2), demand 'demand'" in printed
    assert "irregular" not in printed, "its values are on a grid"
    assert "sum by (service) (load)" in page
    assert_verdict(printed, figures, page)
