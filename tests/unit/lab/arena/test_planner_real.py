"""The real Planner and two pools, where `make arena` was run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from services.kernel.errors import InvalidInput, Unavailable
from services.lab.arena.engine import EngineChoice, ReplayEngine, arena_python
from services.lab.arena.goals import RequestGoals
from services.lab.arena.loop import LoopSetup, LoopTargets, LoopTick
from services.lab.arena.planner_setup import PlannerSetup
from services.lab.arena.requests import RequestList, Shape, lognormal_mix, poisson_requests

GOALS = RequestGoals(1000.0, 40.0)
POOLS = LoopSetup(60.0, {"prefill": 1, "decode": 1}, max_workers=8)


@pytest.fixture(scope="module")
def requests() -> RequestList:
    """Three minutes at four requests a second."""
    return poisson_requests(4.0, 3, Shape(1000, 200), lognormal_mix(), np.random.default_rng(1))


def started(mode: str) -> ReplayEngine:
    """The engine; skips where it is not installed, or was before the Planner was part of it."""
    try:
        python = arena_python()
    except Unavailable as error:
        pytest.skip(error.message)
    if not list(python.parents[1].glob("lib/python3*/site-packages/pmdarima")):
        pytest.skip("the Planner is not installed: run `make arena` again")
    return ReplayEngine(EngineChoice("Qwen/Qwen3-32B", "h200_sxm", mode=mode))


@pytest.fixture(scope="module")
def engine() -> Iterator[ReplayEngine]:
    with started("aggregated") as engine:
        yield engine


@pytest.fixture(scope="module")
def pooled() -> Iterator[ReplayEngine]:
    with started("disaggregated") as engine:
        yield engine


def test_the_planner_scales_and_every_run_is_the_same(
    engine: ReplayEngine, requests: RequestList
) -> None:
    setup = LoopSetup(60.0, {"serve": 2}, max_workers=8)
    planner = PlannerSetup(GOALS, predictor="constant", slo_scale=0.5, history=requests)
    one, other = (engine.loop_planner(requests, setup, planner) for _ in range(2))
    assert one.events["serve"] > 0
    assert one.decided == other.decided
    assert (one.served.ttft_ms == other.served.ttft_ms).all()
    assert one.alive["serve"].count.max() <= 8


def test_a_setting_that_the_planner_lacks_is_refused(
    engine: ReplayEngine, requests: RequestList
) -> None:
    planner = PlannerSetup(GOALS, further={"nonsense": 1})
    with pytest.raises(InvalidInput, match="the Planner has no setting nonsense; it has "):
        engine.loop_planner(requests, LoopSetup(60.0), planner)


def test_two_pools_are_scaled_each_by_itself(pooled: ReplayEngine, requests: RequestList) -> None:
    class Both:
        first_tick_s = 15.0

        def on_tick(self, tick: LoopTick) -> LoopTargets:
            counts = {"prefill": 2} if tick.now_s > 100 else {"decode": 3}
            return LoopTargets(counts, tick.now_s + 15.0)

    result = pooled.loop(requests, POOLS, Both())
    assert result.alive["decode"].count.tolist() == [1, 3]
    assert result.alive["prefill"].count.tolist() == [1, 2]
    assert result.gpu_hours(15, 105) == pytest.approx(4 * 90 / 3600)
    assert np.isfinite(result.served.ttft_ms).all()


def test_the_planner_scales_two_pools(pooled: ReplayEngine, requests: RequestList) -> None:
    planner = PlannerSetup(GOALS, predictor="constant", slo_scale=0.3, starting_told=True)
    result = pooled.loop_planner(requests, POOLS, planner)
    assert result.decided
    assert set(result.decided[0].counts) == {"prefill", "decode"}


@pytest.mark.parametrize("router", ["round_robin", "kv_router"])
def test_shared_prefixes_make_first_tokens_faster(
    engine: ReplayEngine, requests: RequestList, router: str
) -> None:
    class Stay:
        first_tick_s = 15.0

        def on_tick(self, tick: LoopTick) -> LoopTargets:
            return LoopTargets({}, tick.now_s + 60.0)

    setup = LoopSetup(60.0, {"serve": 3}, router=router)
    blocks = tuple(tuple(range(8)) for _ in range(len(requests)))
    columns = requests.arrival_ms, requests.input_tokens + 4096, requests.output_tokens
    apart = engine.loop(RequestList(*columns), setup, Stay())
    shared = engine.loop(RequestList(*columns, prefix=blocks), setup, Stay())
    assert shared.served.ttft_ms.mean() < 0.7 * apart.served.ttft_ms.mean()


def test_pools_must_be_those_of_the_mode(engine: ReplayEngine, requests: RequestList) -> None:
    with pytest.raises(InvalidInput, match="mode aggregated has serve"):
        engine.loop_planner(requests, POOLS, PlannerSetup(GOALS))
