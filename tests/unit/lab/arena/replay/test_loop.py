"""The loop inside the engine's process: what goes out at a tick, what comes in, how it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.lab.arena.replay.loop import LoopSide, loop
from tests.unit.lab.arena.replay.fake_replay import (
    REPORT,
    SAMPLE,
    WORKER,
    FakeReplay,
    install,
    loop_of,
)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeReplay:
    """The engine's functions."""
    return install(monkeypatch)


def looped(*lines: dict[str, Any]) -> list[dict[str, Any]]:
    """Lines of a loop over three requests, the policy's lines given."""
    asked = loop_of((500.0, 600, 1), (700.0, 700, 9), (700.0, 700, 9))
    heard, told = [], iter(lines)

    def exchange(line: dict[str, Any]) -> dict[str, Any]:
        heard.append(json.loads(json.dumps(line)))
        return next(told)

    last = loop({"serve": {"a": 1}}, asked, exchange)
    return [*heard, last]


GO_ON = {"targets": {"serve": 2}, "next_tick_ms": 15_500.0}


@pytest.mark.usefixtures("fake")
def test_a_policy_sees_what_happened_since_its_last_tick() -> None:
    first, second, _ = looped(GO_ON, GO_ON)
    assert (first["tick"]["now_ms"], second["tick"]["now_ms"]) == (500.0, 15_500.0)
    for line in (first["tick"], second["tick"]):
        assert line["arrived"] == 4
        assert line["finished"]["ttft_ms"] == [70.0] * 4
        assert line["finished"]["tpot_ms"] == [30.0, None] * 2
        assert (line["running"], line["waiting"], line["kv_usage"]) == (6, 6, 0.6)
        assert line["pools"] == {"serve": {"ready": 0, "starting": 1, "draining": 2}}


def test_of_two_pools_each_says_how_busy_its_workers_were() -> None:
    asked = loop_of((500.0, 600, 1), initial={"prefill": 1, "decode": 2})
    side = LoopSide(lambda _: {"targets": {}, "next_tick_ms": 15_500.0}, asked)
    idle = WORKER | {"running_requests": 0, "waiting_requests": 0}
    waits = idle | {"waiting_requests": 1}
    report = {**REPORT, "now_ms": 0.0}
    for workers in ([idle, waits], [WORKER, WORKER]):
        side.on_sample(SAMPLE | {"decode_scheduler_metrics": workers})
    busy = {role: work["busy"] for role, work in side.line(report)["work"].items()}
    assert busy == {"prefill": None, "decode": 0.75}, "prefill had no worker at all"
    side.on_tick(report)
    side.on_sample(SAMPLE | {"decode_scheduler_metrics": [idle, idle]})
    assert side.line(report)["work"]["decode"]["busy"] == 0.0, "that is of before the tick"


def test_the_engine_is_told_targets_on_its_own_clock(fake: FakeReplay) -> None:
    looped({"targets": {}, "next_tick_ms": 15_500.0}, GO_ON)
    kept, scaled = fake.told
    assert kept == {"target_prefill": None, "target_decode": None, "next_tick_ms": 15_000.0}
    assert scaled["target_decode"] == 2
    assert json.loads(fake.options["extra_engine_args"]) == {"a": 1, "startup_time": 60.0}
    assert fake.options["max_sim_time_ms"] == 10_000.0


@pytest.mark.usefixtures("fake")
def test_a_loop_ends_with_requests_and_workers_over_time() -> None:
    *_, last = looped(GO_ON, GO_ON)
    assert last["ttft_ms"] == [1200.0, 1400.0, None]
    assert last["alive"] == {"serve": [[1500.0, 2], [3500.0, 4]]}
    assert last["events"] == {"serve": 2}
    assert last["ended_ms"] == 9500.0


def test_two_pools_are_scaled_each_by_itself(
    fake: FakeReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.unit.lab.arena.replay.fake_replay.OPERATIONS", [])
    asked = loop_of((0.0, 600, 1), (1.0, 700, 2), initial={"prefill": 2, "decode": 3})
    told = {"targets": {"prefill": 4}, "next_tick_ms": 9.0}
    last = loop({"prefill": {}, "decode": {}}, asked, lambda _: told)
    assert fake.told[0] == {"target_prefill": 4, "target_decode": None, "next_tick_ms": 9.0}
    assert (fake.options["num_prefill_workers"], fake.options["num_decode_workers"]) == (2, 3)
    assert last["events"] == {"prefill": 0, "decode": 0}
