"""A small form of `harmony bench llm`: two traces, three policies, figures that must come out.

With a queue in the place of the engine, so that it runs everywhere, Harmony by its own path too;
`tests/unit/lab/bench/llm/test_bench_real.py` is one on the real engine, where `make arena` was run.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.application import app
from services.lab.bench.llm import bench, entrants
from services.lab.bench.llm.families import FAMILIES
from services.lab.bench.llm.rivals import capacity
from services.lab.bench.llm.traces import made
from tests.unit.lab.bench.llm.pool_engine import PoolEngine
from tests.unit.lab.bench.llm.queue_engine import QueueEngine

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SETTINGS = {"hpa": (22.0, 2.0), "fixed": (0.8, 2.4)}
PAIRS = {"hpa": (11.0, 44.0)}
SHARES = ("--goodput", "0.9", "--promise", "0.9,0.99")
RUN_FIELDS = {
    "trace", "startup_s", "gpu", "mode", "policy", "setting", "seed",
    "gpu_hours", "goodput", "minutes_out_of_sla", "scale_events", "cpu", "warm_up",
}  # fmt: skip
SUMMARY_FIELDS = {"vs_oracle", "vs_planner", "vs_simple_chosen", "gap_closed", "worst_vs_simple"}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty minutes in the place of seventy, two settings in the place of eight."""
    monkeypatch.setattr(made, "HOUR_S", 600)
    monkeypatch.setattr(capacity, "_MINUTES", 4.0)
    monkeypatch.setattr(capacity, "_N_WORKERS", 2)
    for name, settings in SETTINGS.items():
        own = replace(FAMILIES[name], settings=settings, pairs=PAIRS.get(name))
        monkeypatch.setitem(FAMILIES, name, own)


Asked = tuple[tuple[str, ...], tuple[str, ...]]


@pytest.fixture(params=["one pool", "two pools"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Options of an engine's own, and traces: that they are kept apart is for one pool to show."""
    if request.param == "two pools":
        monkeypatch.setattr(bench, "ReplayEngine", PoolEngine)
        # Its decode worker takes one request at a time: that it is busy is no room that fills.
        monkeypatch.setattr(entrants, "POOL_OCCUPIED", {"prefill": "Time"})
        goals = ("--ttft", "12s", "--tpot", "400ms")
        return ("--rate", "0.2", "--mode", "disaggregated", *goals), ("burst",)
    monkeypatch.setattr(bench, "ReplayEngine", QueueEngine)
    # its worker needs over a second for a prompt of a mean length
    return ("--rate", "0.25", "--ttft", "12s", "--tpot", "100ms"), ("stationary", "burst")


@pytest.mark.usefixtures("small")
@pytest.mark.timeout(900)
def test_two_traces_and_three_policies(asked: Asked, tmp_path: Path) -> None:
    options, traces = asked
    file = tmp_path / "found.json"
    command = ["bench", "llm", "--trace", ",".join(traces), "--policies", "harmony,hpa,fixed"]
    result = CliRunner().invoke(
        app,
        [*command, *SHARES, "--startup", "30s", *options, "--json", str(file)],
    )
    assert result.exit_code == 0, result.output
    document = json.loads(file.read_text())
    assert len(document["runs"]) == len(traces) * 3 * 2
    assert all(set(row) == RUN_FIELDS for row in document["runs"])
    assert set(document["summary"]["0.9"]) >= SUMMARY_FIELDS
    assert {"promised", "goodput_min", "goodput_max"} <= set(document["deployed"])
    for trace in traces:
        check_figures([row for row in document["runs"] if row["trace"] == trace])
    assert document["deployed"]["goodput_min"] > 0.8


def check_figures(rows: list[dict[str, Any]]) -> None:
    """More is safer within a family; a promise is kept for less than by a rich constant.

    Ten minutes are few: what Harmony's two promises take differs by less than it scatters.
    """
    for policy in ("harmony", "hpa", "fixed"):
        lean, rich = (row for row in rows if row["policy"] == policy)
        slack = 1.15 if policy == "harmony" else 1.0
        assert lean["goodput"] <= rich["goodput"] + 0.02
        assert lean["gpu_hours"] <= slack * rich["gpu_hours"]
        assert rich["goodput"] > 0.8
    promised = [row for row in rows if row["policy"] == "harmony"]
    constant = [row for row in rows if row["policy"] == "fixed"]
    assert promised[-1]["gpu_hours"] < constant[-1]["gpu_hours"]
