"""The plugin beside what was set in the console: its mode, its pauses, its freezes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.admin.app_client import AppClient
from tests.integration.cli.conftest import Plugin
from tests.integration.operator.conftest import Bench
from tests.integration.operator.controls_api import api, patch_policy, workload

__all__ = ["api"]
pytestmark = pytest.mark.integration


def started(bench: Bench, mode: str = "Auto") -> str:
    """A service that the operator knows; its name in messages."""
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode=mode)
    bench.reconcile()
    return f"{bench.lab.namespace}/llama"


def decided(bench: Bench, desired: int) -> int:
    decision = bench.decide("llama", desired)
    bench.reconcile()
    return decision


def test_a_decision_that_waits_by_the_mode_of_the_console_is_approved(
    bench: Bench, api: AppClient, plugin: Plugin
) -> None:
    """What `diff` says to run is not refused."""
    where = started(bench, "Advisory")
    assert patch_policy(bench, api, {"mode": "Approval"}).status_code == 200
    bench.reconcile()
    decision = decided(bench, 5)
    advice = f"`kubectl harmony approve llama -n {bench.lab.namespace}`"
    assert f"{where}: decision {decision} waits; {advice}" in plugin("diff").out.replace("\n", " ")
    assert plugin("approve", "llama").status == 0
    bench.reconcile()
    assert bench.lab.replicas("llama") == 5


def test_an_approval_that_the_mode_of_the_console_forbids_is_refused_with_its_reason(
    bench: Bench, api: AppClient, plugin: Plugin
) -> None:
    where = started(bench, "Approval")
    assert patch_policy(bench, api, {"mode": "Advisory"}).status_code == 200
    bench.reconcile()
    decided(bench, 5)
    assert plugin.fails("approve", "llama") == (
        f"{where} is in mode Advisory, which applies nothing; it was set through the API over the "
        "object's own spec.mode: Approval"
    )


def test_a_pause_of_the_console_is_named_and_what_ends_it(
    bench: Bench, api: AppClient, plugin: Plugin
) -> None:
    where = started(bench)
    until = bench.clock.now() + timedelta(hours=1)
    body = {"until_at": until.isoformat(), "reason": "load test"}
    assert api.request("PUT", workload(bench, "pause"), json=body).status_code == 200
    decided(bench, 5)
    words = (
        f"paused through the API until {until:%Y-%m-%dT%H:%M:%SZ} (load test); "
        f"DELETE {workload(bench, 'pause')}, or the console, ends it"
    )
    said = " ".join(plugin("diff").out.split())
    assert f"{where}: {words}" in said
    assert "kubectl harmony resume" not in said
    answer = plugin("resume", "llama")
    assert (answer.status, answer.err) == (1, "")
    assert answer.out == f"{where}: not paused already; still {words}\n"
    assert plugin("pause", "llama").status == 0
    both = plugin("resume", "llama", "--json")
    assert (both.status, both.items[0]["held_by"]) == (1, [words])
    assert both.items[0]["did"].startswith("not paused (was: paused); still paused through the API")
    assert api.request("DELETE", workload(bench, "pause")).status_code == 200
    assert plugin("resume", "llama").status == 0


@pytest.mark.parametrize(
    ("direction", "what"), [("Both", "held by freeze"), ("ScaleDown", "scaling in held by freeze")]
)
def test_a_freeze_is_named_and_what_ends_it(
    bench: Bench, api: AppClient, plugin: Plugin, direction: str, what: str
) -> None:
    where = started(bench)
    until = bench.clock.now() + timedelta(hours=1)
    body = {"direction": direction, "until_at": until.isoformat(), "reason": "holiday"}
    made = api.post("/v1/freezes", json=body).json()["id"]
    decided(bench, 5)
    words = (
        f"{what} {made} until {until:%Y-%m-%dT%H:%M:%SZ} (holiday); DELETE /v1/freezes/{made}, or "
        "the console, ends it"
    )
    assert plugin("resume", "llama").out == f"{where}: not paused already; still {words}\n"
    said = " ".join(plugin("diff").out.split())
    assert (f"{where}: {words}" in said) is (direction == "Both")


def test_without_a_server_that_answers_it_is_said_that_nobody_knows(
    bench: Bench, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = started(bench)
    assert plugin("pause", "llama").status == 0
    monkeypatch.delenv("HARMONY_URL")
    answer = plugin("resume", "llama")
    assert answer.status == 0
    assert answer.out.startswith(
        f"{where}: not paused (was: paused); what else may hold it is not known: no Harmony server"
    )
    assert plugin("resume", "llama", "--json").items[0]["held_by"] is None
