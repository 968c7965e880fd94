"""Services with pools from the custom resource to the cluster and back."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from services.decision.decide.replay import replay
from tests.integration.operator.conftest import Bench
from tests.integration.operator.reconcile.chain import Chain
from tests.integration.operator.reconcile.pools import TOKENS, autoscale, deploy, replicas
from tests.integration.operator.reconcile.test_apply_parts import last_action

pytestmark = pytest.mark.integration


def decide(bench: Bench, prefill: tuple[int, int], decode: tuple[int, int]) -> int:
    counts = {"prefill": prefill, "decode": decode}
    pools = [
        {"name": name, "gpu_type": "H100", "current": a, "raw": b, "desired": b}
        for name, (a, b) in counts.items()
    ]
    current = prefill[0] + decode[0]
    total = prefill[1] + decode[1]
    return bench.decide("llama", total, current_replicas=current, variants=json.dumps(pools))


def test_tokens_double_and_decode_alone_grows(bench: Bench) -> None:
    """Fourteen requests/s all along; the tokens of their answers go from 300 to 600 per second."""
    deploy(bench.lab)
    autoscale(bench.lab)
    chain = Chain(bench)
    before = [chain.step(14.0, {TOKENS: 300.0}) for _ in range(4)]
    assert replicas(bench) == (2, 2)
    after = [chain.step(14.0, {TOKENS: 600.0}) for _ in range(6)]
    prefill, decode = replicas(bench)
    assert prefill == 2
    assert decode >= 4
    newest = after[-1]
    assert {v["name"]: v["desired"] for v in newest["variants"]} == {
        "prefill": prefill,
        "decode": decode,
    }
    assert newest["desired_replicas"] == prefill + decode
    assert newest["explanation"]["pools"]["bound_by"] == "decode"
    assert f"{prefill} prefill + {decode} decode" in newest["explanation"]["summary"]
    assert all(replay(chain.deps, row["id"]).is_identical for row in (*before, *after))
    status = bench.lab.autoscaler("llama")["status"]
    assert status["target"] == f"prefill={prefill},decode={decode}"
    assert status["currentReplicas"] == prefill + decode
    assert [v["currentReplicas"] for v in status["variants"]] == [prefill, decode]
    assert bench.lab.condition("llama", "Ready")["status"] == "True"
    outcome = max(bench.rows("outcomes"), key=lambda row: row["step_at"])
    assert set(outcome["ready_by_pool"]) == {"prefill", "decode"}


def test_a_pool_comes_down_without_waiting_for_the_other(bench: Bench) -> None:
    """Replicas of one pool do not stand in for another's: both counts are applied together."""
    deploy(bench.lab, prefill=3, decode=2)
    autoscale(bench.lab)
    for _ in range(3):
        bench.step()
    decide(bench, (3, 1), (2, 5))
    with capture_logs() as logs:
        bench.reconcile()
    assert replicas(bench) == (1, 5)
    told = [(x["part"], x["to_replicas"]) for x in logs if x["event"] == "action"]
    assert told == [("prefill", 1), ("decode", 5)]
    action = last_action(bench)
    assert (action["result"], action["from_replicas"], action["to_replicas"]) == ("applied", 5, 6)
    assert "prefill 3 -> 1" in action["reason"]
    assert "decode 2 -> 5" in action["reason"]


def test_a_pool_without_a_target_is_named(bench: Bench) -> None:
    bench.lab.deploy("llama-prefill", replicas=2)
    autoscale(bench.lab)
    for _ in range(2):
        bench.step()
    found = bench.lab.condition("llama", "TargetResolved")
    assert found["status"] == "False"
    assert found["message"].startswith("pool decode: ")
    assert bench.lab.autoscaler("llama")["status"]["target"] == "prefill=2,decode=?"
