"""The scaling loop from the product's side; a script stands in for the engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from services.kernel.errors import InvalidInput, Unavailable
from services.lab.arena import engine as module
from services.lab.arena.engine import EngineChoice, ReplayEngine
from services.lab.arena.loop import (
    LoopResult,
    LoopSetup,
    LoopTargets,
    LoopTick,
    PoolCounts,
    WorkerTimeline,
)
from services.lab.arena.requests import RequestList

REQUESTS = RequestList(np.array([0.0, 9e5]), np.array([10, 20]), np.array([5, 1]))
SETUP = LoopSetup(60.0, {"serve": 2}, max_workers=4)
SCRIPT = """
import json, sys
say = lambda document: print(json.dumps(document), flush=True)
hear = lambda: json.loads(sys.stdin.readline())
hear()
say({})
for line in iter(sys.stdin.readline, ""):
    asked = json.loads(line)["loop"]
    now_ms, count, alive, told = asked["first_tick_ms"], asked["initial"]["serve"], [], {}
    while "stop" not in told and now_ms < asked["until_ms"]:
        say({"tick": {
            "now_ms": now_ms, "pools": {"serve": {"ready": count, "starting": 0, "draining": 0}},
            "arrived": 1, "running": 1, "waiting": 0, "kv_usage": 0.5,
            "finished": {"ttft_ms": [70.0], "tpot_ms": [None],
                         "input_tokens": [20.0], "output_tokens": [1.0]},
        }})
        told = hear()
        if told.get("targets", {}).get("serve", count) != count:
            count = told["targets"]["serve"]
            alive.append([now_ms, count])
            if count == 3:
                sys.exit("out of memory")
        now_ms = told.get("next_tick_ms")
    if "stop" in told:
        say({"error": "the policy has stopped"})
        continue
    say({"ttft_ms": [70.0, None], "tpot_ms": [None, None], "e2e_ms": [70.0, None],
         "alive": {"serve": alive}, "events": {"serve": len(alive)}, "ended_ms": 1.2e6})
"""


@pytest.fixture(autouse=True)
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script that stands in."""
    path = tmp_path / "stand_in.py"
    path.write_text(SCRIPT)
    monkeypatch.setattr(module, "SCRIPT", path)


class Steps:
    """Asks for what a function of the time says, each ten minutes."""

    first_tick_s = 300.0

    def __init__(self, counts: Callable[[float], Mapping[str, int]], step_s: float = 600.0) -> None:
        self.counts, self.step_s = counts, step_s
        self.seen: list[LoopTick] = []

    def on_tick(self, tick: LoopTick) -> LoopTargets:
        self.seen.append(tick)
        return LoopTargets(self.counts(tick.now_s), tick.now_s + self.step_s)


def looped(policy: Steps) -> LoopResult:
    choice = EngineChoice("a/model", "a_gpu", tensor_parallel=2)
    with ReplayEngine(choice, Path(sys.executable)) as engine:
        return engine.loop(REQUESTS, SETUP, policy)


def test_a_policy_sees_ticks_and_its_counts_are_cut_to_the_limits() -> None:
    policy = Steps(lambda now_s: {"serve": 9} if now_s < 600 else {"serve": 0})
    result = looped(policy)
    assert [tick.now_s for tick in policy.seen] == [300.0, 900.0]
    assert policy.seen[1].pools == {"serve": PoolCounts(4)}
    assert np.isnan(policy.seen[0].finished.tpot_ms).all()
    assert result.alive["serve"].count.tolist() == [2, 4, 1]
    assert [decision.counts["serve"] for decision in result.decided] == [9, 0]
    assert result.events == {"serve": 2}
    assert np.isnan(result.served.ttft_ms[1])


def test_gpu_hours_count_each_gpu_of_each_worker_alive() -> None:
    result = looped(Steps(lambda now_s: {"serve": 4} if now_s < 600 else {"serve": 1}))
    # 2 workers for 5 minutes, 4 for 10, 1 from then on; 2 GPUs each.
    assert result.gpu_hours(0, 900) == pytest.approx(2 * (2 * 5 + 4 * 10) / 60)
    assert result.gpu_hours(600, 3600) == pytest.approx(2 * (4 * 5 + 45) / 60)
    with pytest.raises(InvalidInput, match="until_s=1 must be > from_s=2"):
        result.gpu_hours(2, 1)


def test_a_timeline_that_never_changes_stands_for_ever() -> None:
    line = WorkerTimeline(np.zeros(1), np.array([3]))
    assert line.worker_s(100.0, 160.0) == 180.0


def test_a_policy_that_fails_leaves_the_engine_of_use() -> None:
    class Broken(Steps):
        def on_tick(self, tick: LoopTick) -> LoopTargets:
            raise KeyError(tick.now_s)

    with ReplayEngine(EngineChoice("a/model", "a_gpu"), Path(sys.executable)) as engine:
        with pytest.raises(KeyError):
            engine.loop(REQUESTS, SETUP, Broken(dict))
        assert engine.loop(REQUESTS, SETUP, Steps(lambda _: {})).events == {"serve": 0}


def test_what_a_policy_cannot_ask_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"counts\[decode\]: pools are serve"):
        looped(Steps(lambda _: {"decode": 1}))
    with pytest.raises(InvalidInput, match="next_tick_s=300 must be finite and > now_s=300"):
        looped(Steps(lambda _: {}, step_s=0.0))


def test_an_engine_that_dies_in_the_loop_leaves_its_last_words() -> None:
    with pytest.raises(Unavailable, match="has ended: out of memory"):
        looped(Steps(lambda _: {"serve": 3}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"startup_s": -1.0}, "startup_s=-1 must be finite and >= 0"),
        ({"startup_s": 1.0, "sample_ms": 0.0}, "sample_ms=0 must be finite and >= 1"),
        ({"startup_s": 1.0, "max_workers": 0}, "max_workers=0 must be >= 1"),
        ({"startup_s": 1.0, "initial": {"serve": 0}}, r"initial\[serve\]=0 must lie in 1 to"),
        ({"startup_s": 1.0, "router": "random"}, "router=random: must be one of round_robin"),
    ],
)
def test_a_setup_that_cannot_be_replayed_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        LoopSetup(**settings)  # type: ignore[arg-type]
