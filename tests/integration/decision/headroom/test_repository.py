"""SQL of headroom on a real Postgres."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import text

from services.decision.headroom import repository
from services.decision.headroom.advice import to_scores
from services.decision.headroom.advise import advise_headroom
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.headroom.supplied_fleet import advice, supply
from tests.integration.decision.stored_rows import LEVELS, STEP

pytestmark = pytest.mark.integration


def test_outcomes_come_with_the_quantiles_that_were_forecast_of_their_step(fleet: Fleet) -> None:
    a, b = fleet.add("a", 0, 14, 130.0), fleet.add("b", 0, 6, 50.0)
    supply(fleet)
    for _ in range(5):
        fleet.decide(0)
        fleet.step()
    now = fleet.clock.now()
    with fleet.engine.connect() as connection:
        rows = repository.load_forecast_outcomes(connection, [a, b], now - 20 * STEP, now)
        alone = repository.load_forecast_outcomes(connection, [b], now - 20 * STEP, now)
        assert not repository.load_forecast_outcomes(connection, [a], now, now)
    assert {row["workload_id"] for row in rows} == {a, b}
    assert {row["workload_id"] for row in alone} == {b}
    by_step = {row["step_at"]: row for row in rows if row["workload_id"] == a}
    assert len(by_step) >= 3
    for row in by_step.values():
        assert row["demand"] == pytest.approx(0.95 * 130.0, rel=1e-3)
        assert row["quantile_levels"] == pytest.approx(LEVELS)
        assert np.all(np.diff(row["quantiles"]) >= 0)
        assert 100 < row["quantiles"][0] < 130 < row["quantiles"][-1] < 160
    scores = to_scores(rows)
    assert scores.shape == (len(by_step), 2)
    assert np.all(scores < 0)
    supply(fleet)
    advise_headroom(fleet.deps)  # fewer outcomes than tell anything
    assert advice(fleet)[0]["n_dependence_steps"] == 0


def test_services_are_counted_with_their_parts(fleet: Fleet) -> None:
    fleet.add("plain", 0, 1, 10.0)
    parts = [{"name": n, "gpu_type": t} for n, t in (("x", "L4"), ("y", "H100"))]
    for name, spec in (("mixed", {"variants": parts}), ("pooled", {"pools": parts})):
        fleet.add(name, 0, 1, 10.0, **spec)
    with fleet.engine.begin() as connection:
        count = repository.count_services
        assert (count(connection, 1, "H100"), count(connection, 1, "L4")) == (3, 2)
        assert count(connection, 2, "H100") == 0
        made_over_rest = "UPDATE workloads SET managed_by = 'api' WHERE name = 'pooled'"
        connection.execute(text(made_over_rest))
        assert (count(connection, 1, "H100"), count(connection, 1, "L4")) == (2, 1)
        connection.execute(text("UPDATE workloads SET managed_by = 'kubernetes'"))
        connection.execute(text("UPDATE workloads SET is_active = false WHERE name = 'plain'"))
        assert count(connection, 1, "H100") == 2
