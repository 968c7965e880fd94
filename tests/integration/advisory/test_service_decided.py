"""The advisory report over rows that the decision service wrote, beside sums in SQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from services.advisory.service import AdvisoryQuery, load_report
from services.decision.decide.service import decide_shard
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from tests.integration.decision.conftest import deps  # noqa: F401 - the fixture
from tests.integration.decision.stored_rows import (
    ORIGIN,
    STEP,
    STEP_S,
    add_demand,
    add_forecast,
    add_state,
    add_workload,
)

pytestmark = pytest.mark.integration

N_ORIGINS = 14
FIRST = ORIGIN - (N_ORIGINS - 1) * STEP
SKIPPED = range(6, 11)
"""Origins at which nobody decided: longer than a decision is valid."""


def scale_by_hand(deps: DecisionDeps) -> None:  # noqa: F811 - the fixture
    """A service at twelve replicas while its demand rises from 40 to 100; Harmony looks on."""
    workload = add_workload(deps.engine, "w", price_usd_per_gpu_hour=3.0, gpus_per_replica=2)
    add_demand(deps.engine, workload, [40.0] * 30, last=FIRST - STEP)
    add_state(deps.engine, workload, 12, at=FIRST - STEP)
    for k in range(N_ORIGINS):
        origin_at, level = FIRST + k * STEP, 40.0 if k < N_ORIGINS // 2 else 100.0
        add_demand(deps.engine, workload, [level], last=origin_at)
        add_state(deps.engine, workload, 12, at=origin_at + STEP)
        add_forecast(deps.engine, workload, level, forecast_id=k + 1, origin_at=origin_at)
        if k not in SKIPPED:
            at = origin_at + STEP + timedelta(seconds=2)
            decide_shard(replace(deps, clock=FixedClock(at)), 0, origin_at)


def test_the_report_is_what_sql_says_of_the_decisions(
    deps: DecisionDeps,  # noqa: F811 - the fixture
) -> None:
    scale_by_hand(deps)
    # the window ends with the last origin's step, of which the outcome is known
    query = AdvisoryQuery((N_ORIGINS - 1) * STEP)
    with deps.engine.connect() as connection:
        report = load_report(connection, query, ORIGIN + STEP)
        row = connection.execute(
            text(
                "SELECT sum(o.cost_usd), sum(d.desired_replicas * 2 * 3.0 * :step_s / 3600), "
                "count(*), sum(o.violation_ratio) "
                "FROM outcomes o JOIN LATERAL (SELECT desired_replicas FROM decisions "
                "WHERE origin_at < o.step_at "
                "AND valid_until >= o.step_at + make_interval(secs => :step_s) "
                "ORDER BY origin_at DESC LIMIT 1) d ON true WHERE o.step_at > :first"
            ),
            {"step_s": STEP_S, "first": FIRST},
        ).one()
    (one,) = report.services
    comparison = one.comparison
    assert comparison is not None
    n_known = int(row[2])
    # six decisions of which the last stands for three steps, and one after the gap: the first run
    # after it is behind, and decides for urgent workloads only
    assert n_known == 5 + 3 + 1
    assert comparison.hours == pytest.approx(n_known * STEP_S / 3600)
    assert comparison.today_usd == pytest.approx(float(row[0]))
    assert comparison.harmony_usd.value == pytest.approx(float(row[1]))
    assert comparison.harmony_usd.value < comparison.today_usd
    assert comparison.today_ratio == pytest.approx(float(row[3]) / n_known)
    assert one.undecided_hours == pytest.approx((N_ORIGINS - 1 - n_known) * STEP_S / 3600)
