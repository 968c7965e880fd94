"""Settings of the Planner: what it is told of the goals and of its limits."""

from __future__ import annotations

import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.goals import RequestGoals
from services.lab.arena.loop import LoopSetup
from services.lab.arena.planner_setup import PlannerSetup

GOALS = RequestGoals(1000.0, 40.0)


def test_it_is_told_scaled_goals_and_its_gpus() -> None:
    planner = PlannerSetup(GOALS, slo_scale=0.5, by_load=False, further={"min_endpoint": 2})
    told = planner.config(LoopSetup(60.0, max_workers=8), gpus=4)
    assert (told["ttft_ms"], told["itl_ms"]) == (500.0, 20.0)
    assert (told["enable_load_scaling"], told["enable_throughput_scaling"]) == (False, True)
    assert (told["max_gpu_budget"], told["decode_engine_num_gpu"]) == (32, 4)
    assert (told["mode"], told["min_endpoint"]) == ("agg", 2)


def test_two_pools_have_twice_the_gpus() -> None:
    setup = LoopSetup(60.0, {"prefill": 1, "decode": 1}, max_workers=8)
    told = PlannerSetup(GOALS).config(setup, gpus=1)
    assert (told["mode"], told["max_gpu_budget"]) == ("disagg", 16)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"slo_scale": 0.0}, "slo_scale=0 must be finite and > 0"),
        ({"predictor": "oracle"}, "predictor=oracle: must be one of constant, arima"),
        ({"by_load": False, "by_throughput": False}, "one must be True"),
    ],
)
def test_what_is_no_planner_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        PlannerSetup(GOALS, **settings)  # type: ignore[arg-type]
