"""The workload that Harmony is told of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.kernel.domain.pools import Occupied
from services.kernel.errors import InvalidInput
from services.lab.arena.goals import RequestGoals
from services.lab.bench.llm_product.setup import (
    INPUT,
    OCCUPANCIES,
    OUTPUT,
    REQUESTS,
    HarmonyPool,
    HarmonySetup,
    workload_spec,
)

SETUP = HarmonySetup(RequestGoals(1000.0, 40.0), 0.99, 60.0, {INPUT: 2500.0}, "H200", 4, 32)


def test_the_promise_is_one_of_requests_on_both_goals() -> None:
    sla = workload_spec(SETUP).sla
    assert (sla.kind, sla.epsilon) == ("DemandFraction", pytest.approx(0.01))
    assert sla.objective is not None
    assert {g.metric: g.threshold_s for g in sla.objective.goals} == {"ttft": 1.0, "tpot": 0.04}
    edges = {one.name: one.edge_s for one in sla.objective.series if one.edge_s}
    assert edges == {"sli_ttft_good": 1.0, "sli_tpot_good": 0.025, "sli_tpot_upto": 0.05}


def test_the_first_load_is_the_demand_and_the_others_bind_too() -> None:
    spec = workload_spec(replace(SETUP, stated={REQUESTS: 2.0, INPUT: 2500.0}))
    assert (spec.demand, spec.capacity.per_replica) == (REQUESTS, 2.0)
    assert spec.further_loads == (INPUT,)


def test_how_full_a_pool_is_is_told_where_something_shows_it() -> None:
    prefill, decode = HarmonyPool("prefill", (INPUT,), 2), HarmonyPool("decode", (OUTPUT,), 1)
    stated = {INPUT: 5000.0, OUTPUT: 500.0}
    shown: tuple[Occupied | None, ...] = (None, "Room", "Time")
    for of in shown:
        pools = (prefill, replace(decode, occupied=of))
        spec = workload_spec(replace(SETUP, stated=stated, initial=3, pools=pools))
        name = OCCUPANCIES[of] if of else ""
        assert [pool.occupancy_indicator for pool in spec.pools] == ["", name]
        assert [pool.occupancy_of for pool in spec.pools] == ["Room", of or "Room"]
        names = {one.name for one in spec.indicators}
        assert names & set(OCCUPANCIES.values()) == ({name} if of else set())


@pytest.mark.parametrize(("startup_s", "horizon"), [(10.0, 12), (60.0, 12), (180.0, 22)])
def test_a_forecast_reaches_beyond_a_start(startup_s: float, horizon: int) -> None:
    assert replace(SETUP, startup_s=startup_s).horizon_steps == horizon


@pytest.mark.parametrize("changes", [{"promise": 1.0}, {"stated": {}}, {"initial": 0}])
def test_what_no_workload_can_be_made_of_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        replace(SETUP, **changes)
