"""Which decisions can be made again, by what is kept of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.partitions import ensure_partitions
from services.kernel.db.retention import IS_REPLAYABLE, not_kept
from services.kernel.db.session import unit_of_work

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 5, tzinfo=UTC)
DECISION = (
    "INSERT INTO decisions (id, origin_at, workload_id, forecast_id, policy_version, decided_at, "
    "valid_until, current_replicas, raw_replicas, desired_replicas, direction, reason, rung, "
    "risk_target, cost_delta_usd_per_h, explanation, inputs) "
    "VALUES (1, :at, 1, 1, 'harmony-1', :at, :at, 1, 1, 1, 'hold', '', 'model', 0.1, 0, '{}', :own)"
)
FORECAST = (
    "INSERT INTO forecasts (id, origin_at, workload_id, model_version, rung, step_s, n_horizon, "
    "quantile_levels, quantiles, n_paths, created_at) "
    "VALUES (1, :at, 1, 'flow-1', 'model', 60, 1, '{0.5}', '{{7}}', 100, :at)"
)


@pytest.mark.parametrize("own", [None, b"inputs"])
@pytest.mark.parametrize("has_inputs", [False, True])
@pytest.mark.parametrize("has_forecast", [False, True])
def test_inputs_of_its_own_or_both_others_are_needed(
    database: Engine, own: bytes | None, has_inputs: bool, has_forecast: bool
) -> None:
    with unit_of_work(database) as work:
        for table in ("forecasts", "decisions", "decision_inputs"):
            ensure_partitions(work.connection, table, AT, AT)
        work.connection.execute(text(DECISION), {"at": AT, "own": own})
        if has_forecast:
            work.connection.execute(text(FORECAST), {"at": AT})
        if has_inputs:
            statement = "INSERT INTO decision_inputs VALUES (1, :at, '\\x00')"
            work.connection.execute(text(statement), {"at": AT})
        found = work.connection.execute(text(f"SELECT {IS_REPLAYABLE} FROM decisions d")).scalar()
    assert found == (own is not None or (has_inputs and has_forecast))


def test_who_cannot_be_made_again_is_named_with_the_setting() -> None:
    assert "decision 7 " in not_kept(7)
    assert "HARMONY_RETAIN_FORECASTS_DAYS" in not_kept(7)
