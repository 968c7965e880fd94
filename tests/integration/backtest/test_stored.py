"""A backtest of stored demand: what becomes the fleet, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sqlalchemy import Engine, text

from services.backtest.stored import BacktestParams, run_backtest, stored_fleet
from services.kernel.errors import Conflict, NotFound
from services.simulator.fleet import Fleet
from tests.integration.backtest.replayable import (
    KEY,
    N_REPLAY,
    N_STEPS,
    REPLAY_HOURS,
    add_replayable,
    wave,
)
from tests.integration.decision.pool_rows import add_service
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP,
    STEP_S,
    TOKENS,
    add_demand,
    add_workload,
    bound_by_tokens,
)
from tests.integration.decision.variant_rows import H100, L4

pytestmark = pytest.mark.integration


def asked(*keys: str, replay_hours: float = REPLAY_HOURS) -> BacktestParams:
    return BacktestParams(workloads=list(keys), replay_hours=replay_hours, policies=["hpa"])


def fleet_of(database: Engine, params: BacktestParams) -> Fleet:
    with database.connect() as connection:
        return stored_fleet(connection, params, NOW)


def test_the_fleet_is_the_stored_demand_up_to_the_last_complete_step(database: Engine) -> None:
    add_replayable(database)
    fleet = fleet_of(database, asked(KEY))
    np.testing.assert_allclose(fleet.demand, [wave()], rtol=1e-6)
    assert (fleet.n_history, fleet.step_s) == (N_STEPS - N_REPLAY, STEP_S)
    assert fleet.start_s == (ORIGIN - (N_STEPS - 1) * STEP).timestamp()
    np.testing.assert_array_equal(fleet.values[:, :, 0], fleet.demand)
    assert fleet.observed.all()
    (workload,) = fleet.workloads
    assert (workload.key, workload.capacity_per_replica, workload.max_replicas) == (KEY, 10.0, 40)
    assert (workload.startup.median_s, workload.startup.sigma) == (60.0, 0.3)
    assert "until 2026-01-06T12:00:00Z" in fleet.label


def test_the_history_begins_where_any_workload_was_measured(database: Engine) -> None:
    add_replayable(database, "long")
    add_replayable(database, "short", n_steps=150)
    fleet = fleet_of(database, asked("demo/short", "demo/long"))
    assert [workload.name for workload in fleet.workloads] == ["long", "short"]
    assert fleet.demand.shape == (2, N_STEPS)
    missing = N_STEPS - 150
    assert np.isnan(fleet.demand[1, :missing]).all()
    assert not fleet.observed[1, :missing].any()
    assert fleet.observed[0].all()


def test_a_spec_that_was_spoilt_by_hand_is_named(database: Engine) -> None:
    add_replayable(database)
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET spec = jsonb_set(spec, '{sla}', '7')"))
    with pytest.raises(Conflict, match=f"the stored spec of {KEY} cannot be read"):
        fleet_of(database, asked(KEY))


def test_a_gap_stays_a_gap_and_no_negative_demand_is_taken(database: Engine) -> None:
    values = wave()
    values[50], values[60] = float("nan"), -1.0
    add_demand(database, add_workload(database, "tiny"), values)
    fleet = fleet_of(database, asked(KEY))
    assert np.flatnonzero(np.isnan(fleet.demand[0])).tolist() == [50, 60]


def test_steps_of_before_that_were_shorter_are_averaged(database: Engine) -> None:
    """As after `HARMONY_STEP_S` has become longer."""
    short, twice_s = np.array([*wave(), *wave()]), 2 * STEP_S
    add_demand(database, add_workload(database, "tiny"), short.tolist())
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET step_s = :step_s"), {"step_s": twice_s})
    fleet = fleet_of(database, asked(KEY))
    starts = fleet.start_s + twice_s * np.arange(fleet.n_steps)
    at_s = int(ORIGIN.timestamp()) - STEP_S * np.arange(short.size - 1, -1, -1)
    means = [short[at_s // twice_s * twice_s == start].mean() for start in starts]
    np.testing.assert_allclose(fleet.demand[0], means, rtol=1e-6)


def test_of_several_loads_the_tightest_is_replayed(database: Engine) -> None:
    tokens = [10.0 * value for value in wave()]
    tokens[:100] = [40.0 * value for value in wave()[:100]]
    tokens[70] = float("nan")
    workload = add_workload(database, "tiny", **bound_by_tokens(per_replica=200.0))
    add_demand(database, workload, list(wave()))
    add_demand(database, workload, tokens, indicator=TOKENS)
    fleet = fleet_of(database, asked(KEY))
    expected = np.array(wave())
    expected[:100] *= 2.0
    expected[70] = np.nan
    np.testing.assert_allclose(fleet.demand[0], expected, rtol=1e-6)
    assert "binds" in fleet.notes[-1]


def test_an_unknown_workload_is_named(database: Engine) -> None:
    add_replayable(database)
    with pytest.raises(NotFound, match="demo/gone does not exist"):
        fleet_of(database, asked(KEY, "demo/gone"))


def test_workloads_on_different_steps_are_refused(database: Engine) -> None:
    add_replayable(database)
    add_replayable(database, "other")
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET step_s = 600 WHERE name = 'other'"))
    with pytest.raises(Conflict, match=r"steps of \[300, 600\] s"):
        fleet_of(database, asked(KEY, "demo/other"))


def test_a_workload_with_pools_is_refused(database: Engine) -> None:
    add_service(database)
    with pytest.raises(Conflict, match="demo/llama has pools, and a backtest plans one count"):
        fleet_of(database, asked("demo/llama"))


def test_a_workload_with_variants_is_refused(database: Engine) -> None:
    """One H100 replica of 5 USD an hour was reckoned as eight of the capacity of an L4."""
    add_workload(database, "mixed", variants=[H100, L4])
    with pytest.raises(Conflict, match="demo/mixed has variants, and a backtest plans one count"):
        fleet_of(database, asked("demo/mixed"))


def test_a_history_of_144_steps_is_just_enough(database: Engine) -> None:
    add_replayable(database, "enough", n_steps=144 + N_REPLAY)
    add_replayable(database, "less", n_steps=143 + N_REPLAY)
    add_workload(database, "none")
    assert fleet_of(database, asked("demo/enough")).n_history == 144
    with pytest.raises(Conflict, match="143 steps of 300 s are stored before the replay"):
        fleet_of(database, asked("demo/less"))
    with pytest.raises(Conflict, match="0 steps of 300 s are stored"):
        fleet_of(database, asked("demo/none"))


@pytest.mark.parametrize(("part", "first"), [("history", 0), ("replay", N_STEPS - N_REPLAY)])
def test_half_of_each_part_must_be_known(database: Engine, part: str, first: int) -> None:
    n = N_STEPS - N_REPLAY if part == "history" else N_REPLAY
    for name, n_unknown in (("half", n // 2), ("less", n // 2 + 1)):
        values = wave()
        values[first + 1 : first + 1 + n_unknown] = [float("nan")] * n_unknown
        add_demand(database, add_workload(database, name), values)
    assert fleet_of(database, asked("demo/half")).n_history == N_STEPS - N_REPLAY
    with pytest.raises(Conflict, match=f"demo/less: demand is known in .* of the {part}"):
        fleet_of(database, asked("demo/less"))


def test_a_replay_without_demand_is_refused(database: Engine) -> None:
    values = wave()
    values[-N_REPLAY:] = [0.0] * N_REPLAY
    add_demand(database, add_workload(database, "idle"), values)
    with pytest.raises(Conflict, match="some demand above 0"):
        fleet_of(database, asked("demo/idle"))


def test_a_backtest_reports_every_stage_and_answers_in_json(database: Engine) -> None:
    add_replayable(database)
    told: list[tuple[str, float]] = []
    with database.connect() as connection:
        found = run_backtest(
            connection, asked(KEY), NOW, lambda line, share: told.append((line, share))
        )
        assert not connection.in_transaction()
    shares = [share for _, share in told]
    assert told[0] == ("reading the stored demand", 0.0)
    assert shares == sorted(set(shares))
    assert shares[-1] <= 0.99
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["workload_keys"], found["history_steps"]) == ([KEY], N_STEPS - N_REPLAY)
    assert found["replay_until_s"] == NOW.timestamp()
    assert found["replay_until_s"] - found["replay_from_s"] == N_REPLAY * STEP_S
    assert set(found["frontiers"]) >= {"harmony", "hpa"}
    assert found["advice"]


@pytest.mark.parametrize(
    "changes", [{"min_replicas": 0}, {"min_replicas": 0, "price_usd_per_gpu_hour": 0.0}]
)
def test_a_service_that_may_run_no_replica_can_be_studied(
    database: Engine, changes: dict[str, float]
) -> None:
    """A rival that put all replicas away costs nothing, and a ratio to its cost was an error."""
    workload = add_workload(database, "tiny", **changes)
    demand = np.zeros(N_STEPS)
    demand[::20] = 30.0
    add_demand(database, workload, demand.tolist())
    params = asked(KEY).model_copy(
        update={"epsilons": [0.1], "policies": ["hpa", "trailing_percentile", "static_peak"]}
    )
    with database.connect() as connection:
        found = run_backtest(connection, params, NOW, lambda *_: None)
    (run,) = found["runs"]
    assert run["at_equal_violation"]["cost_ratio"] is None
    assert "costs nothing" in (said := run["at_equal_violation"]["verdict"]) or "neither" in said
    json.dumps(found, allow_nan=False)
