"""Lead times learned from pod starts on a real Postgres: what is stored, and what decides."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, text

from services.decision.decide import service
from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from services.kernel.db import schema
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    add_workload,
    decisions,
    one_workload,
)

pytestmark = pytest.mark.integration

quiet_pymc = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
)


def add_starts(engine: Engine, workload: int, seconds: list[float | None]) -> None:
    requested = NOW - timedelta(hours=4)
    with engine.begin() as connection:
        for i, duration in enumerate(seconds):
            ready = None if duration is None else requested + timedelta(seconds=duration)
            connection.execute(
                schema.pod_starts.insert().values(
                    pod_uid=f"{workload}-{i}", workload_id=workload, gpu_type="H100",
                    requested_at=requested, ready_at=ready, observed_at=NOW,
                )
            )  # fmt: skip


@pytest.mark.slow
@quiet_pymc
def test_fitted_lead_times_reach_the_next_decision(deps: DecisionDeps) -> None:
    from decider import SamplerConfig
    from services.decision.beliefs.fit_lead_time import fit_lead_times

    workload = one_workload(deps.engine)
    other = add_workload(deps.engine, "other")
    rng = np.random.default_rng(0)
    slow = list(np.exp(np.log(700) + 0.2 * rng.standard_normal(40)))
    add_starts(deps.engine, workload, [*slow, None])
    add_starts(deps.engine, other, slow[:20])

    report = fit_lead_times(deps, SamplerConfig(n_tune=400, n_draws=400))

    assert report.reason == ""
    assert report.is_promoted
    assert set(report.scopes) == {f"workload:{workload}", f"workload:{other}", "gpu_type:H100"}
    with deps.engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM posteriors")).mappings().all()
    assert {row["status"] for row in rows} == {"promoted"}
    assert all(600 < row["summary"]["p50_s"] < 800 for row in rows)
    assert all(row["n_observations"] == 61 for row in rows)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert replay(deps, row["id"]).is_identical


@quiet_pymc
def test_too_few_starts_fit_nothing(deps: DecisionDeps) -> None:
    from services.decision.beliefs.fit_lead_time import fit_lead_times

    add_starts(deps.engine, add_workload(deps.engine, "w"), [60.0] * 3)
    report = fit_lead_times(deps)
    assert not report.is_promoted
    assert "fewer than 8 finished starts" in report.reason
