"""Responses believed at a decision: learned from a workload's steps, stored, reweighted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pytest
from sqlalchemy import text

from decider import MissPrior, learn_misses
from decider.belief.occupancy import ROOM as BY_ROOM, TIME
from services.decision.beliefs import misses
from services.decision.beliefs.miss_data import MISSES
from services.decision.beliefs.misses import MAX_LEARNED
from services.decision.rows.responses import LearnedResponse
from services.decision.rows.translate import from_draws
from services.decision.wiring import DecisionDeps
from services.kernel.db import schema
from services.kernel.db.session import unit_of_work
from services.kernel.jobs import DECIDE_FIT, RecordingSender
from tests.integration.decision.learned_capacity import posteriors
from tests.integration.decision.measured_loop import OBJECTIVE, STEP
from tests.integration.decision.measured_steps import READY, add_measured_steps
from tests.integration.decision.pool_rows import ROOM, add_service, add_shown_service
from tests.integration.decision.pool_steps import add_quiet_pools
from tests.integration.decision.stored_rows import ORIGIN, TOKENS, add_demand, add_workload, spec
from tests.integration.decision.views import members_of

pytestmark = pytest.mark.integration
SLA = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}


def believed(deps: DecisionDeps, origin_at: datetime = ORIGIN) -> Mapping[int, LearnedResponse]:
    with unit_of_work(deps.engine, deps.sender) as work:
        members = members_of(work.connection)
        return misses.believed_responses(work, deps.settings, members, origin_at)


def loads(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(5.0, 9.5, n)


def median_load(response: LearnedResponse) -> float:
    return float(np.median(response.draws.load_within(0.05)))


def test_a_workload_learns_from_its_own_steps_and_is_stored(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA)
    add_workload(deps.engine, "plain")
    add_measured_steps(deps.engine, workload, 8.0, loads(60))
    first = believed(deps)
    assert set(first) == {workload}
    assert median_load(first[workload]) == pytest.approx(8.0, rel=0.05)
    (row,) = posteriors(deps.engine, kind=MISSES)
    assert (row["scope"], row["n_observations"]) == (f"workload:{workload}", 60)
    assert row["summary"]["method"] == "particles"
    again = believed(deps)
    assert (first[workload].is_first, again[workload].is_first) == (True, False)
    np.testing.assert_array_equal(
        again[workload].draws.to_array(), first[workload].draws.to_array()
    )
    assert posteriors(deps.engine, kind=MISSES) == [row], "what is stored is only reweighted"


def test_too_few_steps_teach_nothing(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA)
    add_measured_steps(deps.engine, workload, 8.0, loads(4))
    assert believed(deps) == {}
    assert posteriors(deps.engine) == []


def test_steps_since_move_the_draws_and_half_as_many_are_learned_anew(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA)
    add_measured_steps(deps.engine, workload, 8.0, np.full(40, 6.0))
    before = believed(deps)[workload]
    add_measured_steps(deps.engine, workload, 8.0, np.full(6, 8.3), last=ORIGIN + 5 * STEP)
    after = believed(deps, ORIGIN + 6 * STEP)[workload]
    (row,) = posteriors(deps.engine, kind=MISSES)
    if row["n_observations"] == 40:  # the draws could carry the evidence
        assert abs(median_load(after) - 8.0) < abs(median_load(before) - 8.0)
    add_measured_steps(deps.engine, workload, 8.0, loads(20), last=ORIGIN + 25 * STEP)
    last = believed(deps, ORIGIN + 26 * STEP)[workload]
    (row,) = posteriors(deps.engine, kind=MISSES)
    assert row["n_observations"] == 66
    assert median_load(last) == pytest.approx(8.0, rel=0.05)


def test_a_few_learn_in_each_run_the_oldest_first(deps: DecisionDeps) -> None:
    ids = [add_workload(deps.engine, f"w{i}", sla=SLA) for i in range(MAX_LEARNED + 2)]
    for workload in ids:
        add_measured_steps(deps.engine, workload, 8.0, loads(10))
    assert set(believed(deps)) == set(ids[:MAX_LEARNED])
    assert set(believed(deps)) == set(ids)


@pytest.mark.parametrize(
    "changed", [{"capacity": {"per_replica": 11.0}}, {"gpu_type": "L4"}, {"gpus_per_replica": 2}]
)
def test_what_was_learned_for_another_spec_is_learned_anew(
    deps: DecisionDeps, changed: dict[str, object]
) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA, **changed)
    with deps.engine.begin() as connection:
        connection.execute(
            schema.posteriors.insert().values(
                kind=MISSES, scope=f"workload:{workload}", status="promoted", reason="",
                n_observations=50, diagnostics={}, fitted_at=ORIGIN,
                summary={"learned_for": {"per_replica": 10.0}, "method": "pymc"},
                draws=from_draws(np.tile([50.0, 12.0, 0.01, 60.0], 64)),
            )
        )  # fmt: skip
    assert believed(deps) == {}
    add_measured_steps(deps.engine, workload, 8.0, loads(30))
    assert median_load(believed(deps)[workload]) < 10.0


def test_a_fit_that_steps_contradict_asks_for_another(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA)
    add_measured_steps(deps.engine, workload, 8.0, loads(60))
    believed(deps)
    prior = MissPrior.stated(20.0, 0.0, 0.05)
    far = learn_misses(prior, np.linspace(10, 22, 80), np.zeros(80), np.full(80, 900.0), 256)
    with deps.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE posteriors SET draws = :draws, summary = summary || "
                "jsonb_build_object('method', 'pymc', 'data_until_s', CAST(:until AS float))"
            ),
            {
                "draws": from_draws(far.draws.to_array().ravel()),
                "until": (ORIGIN - timedelta(hours=5)).timestamp(),
            },
        )
    found = believed(deps)
    assert median_load(found[workload]) == pytest.approx(8.0, rel=0.05), "learned alone meanwhile"
    sender = deps.sender
    assert isinstance(sender, RecordingSender)
    assert [job.name for job in sender.sent] == [DECIDE_FIT]
    assert {r["summary"]["method"] for r in posteriors(deps.engine)} == {"pymc", "particles"}


def test_one_workloads_broken_draws_harm_no_other(deps: DecisionDeps) -> None:
    ids = [add_workload(deps.engine, name, sla=SLA) for name in ("a", "b")]
    for workload in ids:
        add_measured_steps(deps.engine, workload, 8.0, loads(30))
    believed(deps)
    with deps.engine.begin() as connection:
        connection.execute(
            text("UPDATE posteriors SET draws = :draws WHERE scope = :scope"),
            {"draws": from_draws(np.array([1.0, -1.0, 0.0])), "scope": f"workload:{ids[0]}"},
        )
    found = believed(deps, ORIGIN + STEP)
    assert ids[1] in found
    assert set(found) <= set(ids)


def test_who_only_looks_learns_nothing(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA)
    add_measured_steps(deps.engine, workload, 8.0, loads(30))

    def seen() -> Mapping[int, LearnedResponse]:
        with unit_of_work(deps.engine, deps.sender) as work:
            return misses.stored_responses(work, members_of(work.connection), ORIGIN)

    assert seen() == {}
    assert posteriors(deps.engine) == []
    known = believed(deps)
    np.testing.assert_allclose(seen()[workload].capacity, known[workload].capacity, rtol=1e-6)


def correct_query(deps: DecisionDeps) -> None:
    statement = text(
        "UPDATE workloads SET spec = jsonb_set(spec, '{indicators,0,query}', '\"sum(x) / 2\"')"
    )
    with deps.engine.begin() as connection:
        connection.execute(statement)


def test_a_corrected_query_is_learned_for_anew_in_its_own_unit(deps: DecisionDeps) -> None:
    """It counted each request twice; its past is read anew, what outcomes keep stays."""
    workload = add_workload(deps.engine, "w", sla=SLA)
    add_measured_steps(deps.engine, workload, 8.0, loads(60))
    assert median_load(believed(deps)[workload]) == pytest.approx(8.0, rel=0.05)
    correct_query(deps)
    values = (READY * loads(60) / 2)[::-1].tolist()
    add_demand(deps.engine, workload, values, last=ORIGIN - STEP, step=STEP)
    assert median_load(believed(deps)[workload]) == pytest.approx(4.0, rel=0.05)
    (row,) = posteriors(deps.engine, kind=MISSES)
    assert row["n_observations"] == 60


def test_what_an_earlier_release_learned_is_not_learned_anew(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA)
    add_measured_steps(deps.engine, workload, 8.0, loads(60))
    believed(deps)
    statement = text("UPDATE posteriors SET summary = summary #- '{learned_for,measured_by}'")
    with deps.engine.begin() as connection:
        connection.execute(statement)
    before = posteriors(deps.engine, kind=MISSES)
    assert set(believed(deps)) == {workload}
    assert posteriors(deps.engine, kind=MISSES) == before


def test_how_full_decode_is_tells_what_it_carries_before_any_request_misses(
    deps: DecisionDeps,
) -> None:
    shown = add_quiet_pools(deps.engine, add_shown_service)
    told = believed(deps)[shown].draws
    assert np.quantile(told.further[:, 0], 0.1) < 800.0 < np.quantile(told.further[:, 0], 0.9)
    assert np.median(told.further[:, 0]) > 500.0
    (row,) = posteriors(deps.engine, kind=MISSES)
    of_decode = row["summary"]["occupancy"]["decode"]
    assert of_decode["use"] == pytest.approx(of_decode["loads"][0] / 800.0, rel=0.02)


def test_of_time_another_law_holds(deps: DecisionDeps) -> None:
    by_time = partial(add_shown_service, of="Time")
    shown = add_quiet_pools(deps.engine, by_time, TIME)
    told = believed(deps)[shown].draws
    assert np.quantile(told.further[:, 0], 0.1) < 800.0 < np.quantile(told.further[:, 0], 0.9)
    (row,) = posteriors(deps.engine, kind=MISSES)
    of_decode = row["summary"]["occupancy"]["decode"]
    assert of_decode["use"] == pytest.approx(of_decode["loads"][0] / 800.0, rel=0.02)
    assert row["summary"]["learned_for"]["occupancy_of_time"] == ["decode"]


def test_what_another_query_of_occupancy_told_is_not_used(deps: DecisionDeps) -> None:
    shown = add_quiet_pools(deps.engine, add_shown_service)
    believed(deps)
    found = []
    for query in ("", "avg(other)"):
        with unit_of_work(deps.engine, deps.sender) as work:
            work.connection.execute(
                text("UPDATE workloads SET spec = jsonb_set(spec, '{indicators,2,query}', :query)"),
                {"query": f'"{query}"'},
            )
            members = members_of(work.connection)
            found.append(set(misses.stored_responses(work, members, ORIGIN)))
    assert found == [{shown}, set()]


def test_without_it_decode_is_believed_to_carry_what_is_stated(deps: DecisionDeps) -> None:
    hidden = add_quiet_pools(deps.engine, add_service)
    assert np.median(believed(deps)[hidden].draws.further[:, 0]) < 400.0


def test_steps_since_tell_how_full_decode_is(deps: DecisionDeps) -> None:
    """What was learned is reweighted by occupancies, too, as by the misses of new steps."""
    shown = add_quiet_pools(deps.engine, add_shown_service)
    before = np.median(believed(deps)[shown].draws.further[:, 0])
    later = ORIGIN + 8 * STEP
    add_measured_steps(deps.engine, shown, 1000.0, np.full(8, 6.0), last=later)
    add_demand(deps.engine, shown, [READY * 80.0] * 8, last=later, indicator=TOKENS, step=STEP)
    fuller = BY_ROOM.full * (80.0 / 560.0) ** BY_ROOM.power
    add_demand(deps.engine, shown, [fuller] * 8, last=later, indicator=ROOM, step=STEP)
    with deps.engine.begin() as connection:
        connection.execute(
            text("UPDATE outcomes SET ready_by_pool = CAST(:ready AS jsonb)"),
            {"ready": f'{{"prefill": {READY}, "decode": {READY}}}'},
        )
    after = np.median(believed(deps, ORIGIN + 9 * STEP)[shown].draws.further[:, 0])
    assert after < 0.95 * before


@pytest.mark.parametrize(
    "changed",
    [
        {
            "sla": {
                **SLA,
                "objective": {**OBJECTIVE, "goals": [{"metric": "ttft", "threshold_s": 9}]},
            }
        },
        {"gpu_type": "L4"},
        {"gpus_per_replica": 2},
    ],
)
def test_steps_by_other_goals_or_on_other_gpus_teach_nothing(
    deps: DecisionDeps, changed: dict[str, object]
) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA)
    add_measured_steps(deps.engine, workload, 8.0, loads(60))
    assert set(believed(deps)) == {workload}
    change_spec(deps, workload, ORIGIN, **{"sla": SLA} | changed)
    assert believed(deps) == {}
    add_measured_steps(deps.engine, workload, 4.0, 0.5 * loads(30), last=ORIGIN + 30 * STEP)
    learned = believed(deps, ORIGIN + 31 * STEP)[workload]
    assert median_load(learned) == pytest.approx(4.0, rel=0.1)
    newest = [row for row in posteriors(deps.engine, kind=MISSES) if row["status"] == "promoted"][
        -1
    ]
    assert newest["n_observations"] == 30


def test_another_promise_or_capacity_leaves_what_was_counted(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA)
    add_measured_steps(deps.engine, workload, 8.0, loads(60))
    other = {"sla": {**SLA, "epsilon": 0.01}, "capacity": {"per_replica": 9.0}}
    change_spec(deps, workload, ORIGIN, **other)
    assert median_load(believed(deps)[workload]) == pytest.approx(8.0, rel=0.05)


def change_spec(deps: DecisionDeps, workload: int, at: datetime, **changes: object) -> None:
    with deps.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = CAST(:spec AS jsonb), updated_at = :at WHERE id = :id"
            ),
            {"id": workload, "at": at, "spec": json.dumps(spec(**changes))},
        )
