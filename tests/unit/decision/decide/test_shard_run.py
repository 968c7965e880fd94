"""Which steps a run over a shard looks at."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.decision.decide.outcomes import LOOKBACK_STEPS
from services.decision.decide.shard_run import ShardRun
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from services.kernel.settings import Settings
from tests.unit.decision.rows.measured_workloads import ORIGIN_S, member

ORIGIN = datetime.fromtimestamp(ORIGIN_S, UTC)


def shard_run(*step_s: int, late_s: float = 600.0) -> ShardRun:
    nothing: Any = None
    deps = DecisionDeps(nothing, FixedClock(ORIGIN), Settings(late_s=late_s))
    members = {n: replace(member(), id=n, step_s=s) for n, s in enumerate(step_s)}
    return ShardRun(nothing, deps, members, ORIGIN, ORIGIN)


def test_the_grid_reaches_beyond_what_may_still_change() -> None:
    run = shard_run(15, 300)
    for short in run.members.values():
        grid = run.grid(short)
        assert grid.last_s == ORIGIN_S
        assert grid.n_steps * short.step_s >= 600.0 + LOOKBACK_STEPS * short.step_s
    assert run.longest_step == timedelta(seconds=300)


def test_the_first_step_is_that_of_the_longest_grid() -> None:
    run = shard_run(15, 300)
    starts_s = [run.grid(each).starts_s[0] for each in run.members.values()]
    assert run.first_step_at.timestamp() == min(starts_s)
    assert starts_s[1] < starts_s[0]
