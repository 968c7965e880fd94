"""Capacities learned from latencies on a real Postgres: data, gates, the draws that decide."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import text

from services.decision.decide import service
from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from tests.integration.decision.learned_capacity import (
    BASE_MS,
    ORIGIN,
    SLO_MS,
    STATED,
    add_forecast,
    add_steps,
    add_workload,
    posteriors,
    store,
    true_curve,
    used_capacity,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
    ),
]


@pytest.mark.slow
def test_capacities_are_learned_gated_and_used(deps: DecisionDeps) -> None:
    from services.decision.beliefs.fit_capacity import fit_capacities

    rng = np.random.default_rng(0)
    factors = (0.9, 1.0, 1.1, 1.2)
    learned = [add_workload(deps.engine, f"w{i}") for i in range(len(factors))]
    for workload, factor in zip(learned, factors, strict=True):
        load = rng.uniform(0.1, 0.95, 120) * STATED * factor
        add_steps(deps.engine, workload, STATED * factor, load)
    new = add_workload(deps.engine, "new", per_replica=20.0)
    plain = add_workload(deps.engine, "plain", latency_indicator="", slo_latency_ms=None)

    report = fit_capacities(deps)

    assert set(report.promoted) == {f"workload:{w}" for w in learned} | {"gpu_type:H100"}
    assert report.refused == {
        f"workload:{new}": "0 steps with a latency and a steady replica count; 48 are needed"
    }
    truth = {
        w: true_curve(STATED * f).capacity(SLO_MS)[0] for w, f in zip(learned, factors, strict=True)
    }
    for workload in learned:
        (row,) = posteriors(deps.engine, kind="capacity", scope=f"workload:{workload}")
        assert row["summary"]["p50"] == pytest.approx(truth[workload], rel=0.05)
        assert row["status"] == "promoted"
        assert 4 * 80 < row["n_observations"] <= 4 * 120
        (curve,) = posteriors(deps.engine, kind="response", scope=f"workload:{workload}")
        assert curve["summary"]["base_ms"] == pytest.approx(BASE_MS, rel=0.15)
        assert row["diagnostics"]["max_r_hat"] <= 1.02

    for forecast_id, workload in enumerate([learned[0], new, plain], start=1):
        add_forecast(deps.engine, workload, forecast_id)
    service.decide_shard(deps, 0, ORIGIN)

    own, decision = used_capacity(deps, learned[0])
    assert np.median(own) == pytest.approx(truth[learned[0]], rel=0.05)
    assert replay(deps, decision).is_identical
    borrowed, _ = used_capacity(deps, new)
    ratios = np.array([truth[w] / STATED for w in learned])
    assert np.median(borrowed) == pytest.approx(20.0 * np.exp(np.log(ratios).mean()), rel=0.1)
    assert borrowed.std() / borrowed.mean() > own.std() / own.mean()
    stated, _ = used_capacity(deps, plain)
    np.testing.assert_array_equal(stated, np.full(stated.size, STATED))


@pytest.mark.slow
def test_a_posterior_that_has_not_mixed_is_rejected_and_the_incumbent_stays(
    deps: DecisionDeps,
) -> None:
    from decider import SamplerConfig
    from services.decision.beliefs.fit_capacity import fit_capacities

    workload = add_workload(deps.engine, "w")
    kappa = np.linspace(11.0, 12.0, 64)
    store(deps.engine, workload, kappa, data_until_s=ORIGIN.timestamp())
    load = np.random.default_rng(1).uniform(1.0, 9.0, 120)
    add_steps(deps.engine, workload, 10.0, load)

    report = fit_capacities(deps, SamplerConfig(300, 20, 2, 0.9, is_low_rank=True))

    assert report.promoted == ()
    assert "effective sample size" in report.refused[f"workload:{workload}"] or (
        "R-hat" in report.refused[f"workload:{workload}"]
    )
    (rejected,) = posteriors(deps.engine, kind="capacity", status="rejected")
    assert rejected["reason"] == report.refused[f"workload:{workload}"]
    add_forecast(deps.engine, workload, 1)
    service.decide_shard(deps, 0, ORIGIN)
    used, _ = used_capacity(deps, workload)
    assert used.min() > true_curve(10.9).capacity(SLO_MS)[0]


@pytest.mark.slow
def test_what_lacks_is_told_and_nothing_is_stored(deps: DecisionDeps) -> None:
    from services.decision.beliefs.fit_capacity import fit_capacities

    flat, low, moving = (add_workload(deps.engine, name) for name in ("flat", "low", "moving"))
    add_steps(deps.engine, flat, 12.0, np.full(80, 6.0))
    add_steps(deps.engine, low, 12.0, np.linspace(1.0, 4.0, 80))
    add_steps(deps.engine, moving, 12.0, np.linspace(1.0, 9.0, 80))
    with deps.engine.begin() as connection:
        connection.execute(
            text("UPDATE outcomes SET ready_mean = 4.3 WHERE workload_id = :id"), {"id": moving}
        )
    report = fit_capacities(deps)
    assert report.promoted == ()
    assert "between 6 and 6; the high must be at least 1.5" in report.refused[f"workload:{flat}"]
    assert "must reach 50% of the stated 10" in report.refused[f"workload:{low}"]
    assert report.refused[f"workload:{moving}"].startswith("0 steps with a latency")
    assert posteriors(deps.engine) == []


def test_a_spec_that_was_spoilt_by_hand_keeps_no_other_from_being_looked_at(
    deps: DecisionDeps,
) -> None:
    from services.decision.beliefs.fit_capacity import fit_capacities

    spoilt, sound = (add_workload(deps.engine, name) for name in ("spoilt", "sound"))
    with deps.engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET spec = spec || CAST(:given AS jsonb) WHERE id = :id"),
            {"id": spoilt, "given": '{"min_replicas": "some"}'},
        )
    refused = fit_capacities(deps).refused
    assert "stored spec cannot be read" in refused[f"workload:{spoilt}"]
    assert "0 steps" in refused[f"workload:{sound}"]
