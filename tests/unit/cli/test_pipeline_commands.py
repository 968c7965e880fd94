"""`harmony explain`: what it prints of a decision under a GPU budget."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli import pipeline_commands
from services.cli.application import app
from services.platform import stages

RECORD: dict[str, Any] = {
    "id": 7,
    "workload": "demo/a",
    "final": 13,
    "reason": "scale_up_risk",
    "fleet": {"cap": 13, "shadow_price_usd_per_gpu_hour": 4.5},
    "gpu_budget": {
        "gpu_type": "H100",
        "gpus": 25,
        "held_elsewhere_gpus": 12,
        "price_usd_per_gpu_hour": 3.2,
        "is_feasible": True,
        "n_cut": 1,
        "gave_up": [
            {
                "workload": "demo/a", "class": "silver", "priority": 100, "wanted": 17,
                "granted": 13, "gpus": 4,
            }
        ],
    },
}  # fmt: skip


def run(monkeypatch: pytest.MonkeyPatch, record: dict[str, Any], *options: str) -> str:
    monkeypatch.setattr(pipeline_commands, "connected_settings", lambda: None)
    monkeypatch.setattr(stages, "explain_decision", lambda _settings, _decision: record)
    result = CliRunner().invoke(app, ["explain", "7", *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_budget_is_printed_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run(monkeypatch, RECORD)
    assert "All workloads on H100 together may use 25 GPUs; 12 GPUs held by" in shown
    assert "one GPU more would avert losses of about $3.20 per hour" in shown
    assert "demo/a (silver, priority 100): 13 of 17 replicas, 4 GPUs given up" in shown
    assert "shadow_price_usd_per_gpu_hour" in shown  # the decision's own, in a table as before
    assert "gave_up" not in shown  # and the budget's record is not dumped beside its words


def test_without_a_budget_nothing_is_said_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {key: value for key, value in RECORD.items() if key != "gpu_budget"}
    assert "GPU budget" not in run(monkeypatch, plain)


def test_json_gives_the_record_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(run(monkeypatch, RECORD, "--json")) == RECORD


def test_the_mix_of_variants_is_printed_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    variant = {"name": "l4", "gpu_type": "L4", "current": 0, "desired": 6}
    shown = run(monkeypatch, RECORD | {"mix": {"variants": [variant], "binding": "held"}})
    assert "l4 on L4: 0 → 6" in shown
    assert "capacity_replicas" not in shown
