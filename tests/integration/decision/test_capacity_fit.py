"""Capacities learned from latencies on a real Postgres: data, gates, the draws that decide."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from decider.belief.response_model import CurveDraws
from decider.replay import from_bytes
from decider.types import FloatArray
from services.decision.decide import service
from services.decision.decide.service import Deps
from services.decision.rows import translate
from services.kernel.clock import FixedClock
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.jobs import DECIDE_FIT, RecordingSender

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
    ),
]

STEP_S = 300
STEP = timedelta(seconds=STEP_S)
ORIGIN = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
NOW = ORIGIN + STEP
SLO_MS, BASE_MS, QUEUEING, SHARPNESS, NOISE = 400.0, 150.0, 0.5, 2.0, 0.1
STATED = 10.0
LATENCY = {"name": "latency_p95_ms", "level": 1}
LEARNING = {
    "per_replica": STATED,
    "latency_indicator": "latency_p95_ms",
    "slo_latency_ms": SLO_MS,
}


def add_workload(engine: Engine, name: str, **capacity: Any) -> int:
    spec = {
        "target": "Deployment/w",
        "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps", "level": 1}, LATENCY],
        "capacity": LEARNING | capacity,
        "lead_time": {"median_s": 60.0, "sigma": 0.3},
        "max_replicas": 40,
    }
    with engine.begin() as connection:
        return connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at) VALUES ('demo', :name, 0, :step_s, CAST(:spec AS jsonb), :at, :at) "
                "RETURNING id"
            ),
            {"name": name, "step_s": STEP_S, "spec": json.dumps(spec), "at": ORIGIN},
        ).scalar_one()


def true_curve(kappa: float) -> CurveDraws:
    return CurveDraws(*(np.array([v]) for v in (BASE_MS, QUEUEING, SHARPNESS, kappa, NOISE)))


def add_steps(
    engine: Engine, workload: int, kappa: float, load: FloatArray, last: datetime = ORIGIN - STEP
) -> None:
    """Steps up to `last` at loads per ready replica, with the latency that the curve gives."""
    rng = np.random.default_rng(workload)
    latency = np.exp(
        true_curve(kappa).log_latency(load)[0] + NOISE * rng.standard_normal(load.size)
    )
    at = [last - back * STEP for back in range(load.size)]
    outcomes = [(workload, t, 4.0 * x, 4.0, NOW) for t, x in zip(at, load, strict=True)]
    measured = [
        (workload, LATENCY["name"], t, y, True) for t, y in zip(at, latency.tolist(), strict=True)
    ]
    columns = ("workload_id", "step_at", "demand", "ready_mean", "computed_at")
    latencies = ("workload_id", "indicator", "step_at", "value", "is_observed")
    with engine.begin() as connection:
        copy_rows(connection, CopyTarget(schema.outcomes, columns, "error"), outcomes)
        copy_rows(connection, CopyTarget(schema.indicators, latencies, "error"), measured)


def add_forecast(engine: Engine, workload: int, forecast_id: int) -> None:
    columns = (
        "id", "origin_at", "workload_id", "model_version", "rung", "reason", "step_s",
        "n_horizon", "quantile_levels", "quantiles", "n_paths", "created_at",
    )  # fmt: skip
    row = (
        forecast_id, ORIGIN, workload, "m", "model", "", STEP_S, 3, [0.1, 0.5, 0.9],
        [[90.0] * 3, [100.0] * 3, [110.0] * 3], 0, NOW,
    )  # fmt: skip
    state = (workload, NOW, 10, 10, 0, 0, [], 100)
    states = (
        "workload_id", "observed_at", "spec_replicas", "ready_replicas", "starting_replicas",
        "pending_replicas", "start_ages_s", "schedulable_gpus",
    )  # fmt: skip
    with engine.begin() as connection:
        copy_rows(connection, CopyTarget(schema.forecasts, columns, "error"), [row])
        copy_rows(connection, CopyTarget(schema.replica_states, states, "error"), [state])


def posteriors(engine: Engine, **where: str) -> list[Any]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM posteriors ORDER BY id")).mappings().all()
    return [row for row in rows if all(row[k] == v for k, v in where.items())]


def used_capacity(deps: Deps, workload: int) -> tuple[FloatArray, int]:
    """(P,) capacity draws that the workload's decision stored, and the decision's id."""
    with deps.engine.connect() as connection:
        row = connection.execute(
            text("SELECT id, inputs FROM decisions WHERE workload_id = :id"), {"id": workload}
        ).one()
    return from_bytes(bytes(row.inputs))[0].capacity_draws[0], int(row.id)


def store(engine: Engine, workload: int, kappa: FloatArray, **summary: Any) -> None:
    """A promoted fit with draws of kappa around the other true parameters."""
    curve = np.tile([BASE_MS, QUEUEING, SHARPNESS, 0.0, NOISE], (kappa.size, 1))
    curve[:, 3] = kappa
    about = {
        "learned_for": {
            "demand": "request_rate_rps", "gpu_type": "H100", "gpus_per_replica": 1,
            "per_replica": STATED, "latency_indicator": "latency_p95_ms",
            "slo_latency_ms": SLO_MS,
        },
        "data_until_s": (ORIGIN - 100 * STEP).timestamp(),
    }  # fmt: skip
    draws = {"capacity": CurveDraws.from_array(curve).capacity(SLO_MS), "response": curve.ravel()}
    with engine.begin() as connection:
        for kind, values in draws.items():
            connection.execute(
                schema.posteriors.insert().values(
                    kind=kind, scope=f"workload:{workload}", status="promoted", reason="",
                    n_observations=1, summary=about | summary, diagnostics={},
                    draws=translate.from_draws(values), fitted_at=NOW - timedelta(hours=1),
                )
            )  # fmt: skip


@pytest.mark.slow
def test_capacities_are_learned_gated_and_used(deps: Deps) -> None:
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
    assert service.replay(deps, decision).is_identical
    borrowed, _ = used_capacity(deps, new)
    ratios = np.array([truth[w] / STATED for w in learned])
    assert np.median(borrowed) == pytest.approx(20.0 * np.exp(np.log(ratios).mean()), rel=0.1)
    assert borrowed.std() / borrowed.mean() > own.std() / own.mean()
    stated, _ = used_capacity(deps, plain)
    np.testing.assert_array_equal(stated, np.full(stated.size, STATED))


@pytest.mark.slow
def test_a_posterior_that_has_not_mixed_is_rejected_and_the_incumbent_stays(deps: Deps) -> None:
    from decider.belief.posterior import SamplerConfig
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


def test_what_lacks_is_told_and_nothing_is_stored(deps: Deps) -> None:
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


def test_steps_after_the_fit_move_the_draws_and_replay_keeps_its_bytes(deps: Deps) -> None:
    workload = add_workload(deps.engine, "w")
    store(deps.engine, workload, np.linspace(9.5, 11.5, 256))
    add_steps(deps.engine, workload, 10.0, np.random.default_rng(2).uniform(5.0, 8.0, 20))
    add_forecast(deps.engine, workload, 1)

    service.decide_shard(deps, 0, ORIGIN)

    used, decision = used_capacity(deps, workload)
    truth = true_curve(10.0).capacity(SLO_MS)[0]
    lowest, before, highest = (true_curve(k).capacity(SLO_MS)[0] for k in (9.5, 10.5, 11.5))
    assert abs(np.median(used) - truth) < 0.6 * (before - truth)
    assert used.std() < 0.5 * (highest - lowest) / np.sqrt(12.0)  # half of the uniform draws'
    add_steps(
        deps.engine, workload, 12.5, np.full(30, 8.0), last=ORIGIN - 40 * STEP
    )  # evidence that came later changes no decision that was made
    assert service.replay(deps, decision).is_identical


def test_a_fit_that_steps_contradict_is_kept_and_asks_for_a_refit(deps: Deps) -> None:
    workload = add_workload(deps.engine, "w")
    store(deps.engine, workload, np.linspace(14.0, 15.0, 256))
    add_steps(deps.engine, workload, 9.0, np.random.default_rng(3).uniform(5.0, 8.5, 60))
    add_forecast(deps.engine, workload, 1)
    service.decide_shard(deps, 0, ORIGIN)
    used, _ = used_capacity(deps, workload)
    assert used.min() > true_curve(13.9).capacity(SLO_MS)[0]
    sender = deps.sender
    assert isinstance(sender, RecordingSender)
    # 12:00 begins one of the intervals of four hours: the fit is asked for then, and only then.
    assert [job.name for job in sender.sent] == [DECIDE_FIT]
    later = replace(deps, clock=FixedClock(NOW + STEP))
    service.decide_shard(later, 0, ORIGIN + STEP)
    assert [job.name for job in sender.sent] == [DECIDE_FIT]


@pytest.mark.parametrize("changed", [{"per_replica": 12.0}, {"slo_latency_ms": 300.0}])
def test_a_fit_for_another_spec_is_not_used(deps: Deps, changed: dict[str, float]) -> None:
    workload = add_workload(deps.engine, "w", **changed)
    store(deps.engine, workload, np.linspace(20.0, 21.0, 64))
    add_forecast(deps.engine, workload, 1)
    service.decide_shard(deps, 0, ORIGIN)
    used, _ = used_capacity(deps, workload)
    np.testing.assert_array_equal(used, np.full(used.size, changed.get("per_replica", STATED)))


def test_a_finished_step_is_scored_by_the_capacity_that_decides(deps: Deps) -> None:
    """10 replicas of the stated 10 would hold a demand of 90; of the learned they do not."""
    workload = add_workload(deps.engine, "w")
    store(deps.engine, workload, np.full(256, 9.0))
    add_forecast(deps.engine, workload, 1)
    demand = (workload, "request_rate_rps", ORIGIN, 90.0, True)
    state = (workload, ORIGIN, 10, 10, 0, 0, [], 100)
    columns = ("workload_id", "indicator", "step_at", "value", "is_observed")
    states = (
        "workload_id", "observed_at", "spec_replicas", "ready_replicas", "starting_replicas",
        "pending_replicas", "start_ages_s", "schedulable_gpus",
    )  # fmt: skip
    with deps.engine.begin() as connection:
        copy_rows(connection, CopyTarget(schema.indicators, columns, "error"), [demand])
        copy_rows(connection, CopyTarget(schema.replica_states, states, "error"), [state])

    service.decide_shard(deps, 0, ORIGIN)

    learned = float(true_curve(9.0).capacity(SLO_MS)[0])
    used, _ = used_capacity(deps, workload)
    assert np.median(used) == pytest.approx(learned, rel=1e-6)
    with deps.engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM outcomes")).mappings().one()
    assert row["needed_replicas"] == np.ceil(90.0 / learned) > 10
    assert row["violation_ratio"] == 1.0
    assert row["shortage"] == pytest.approx(90.0 - 10 * learned, rel=1e-5)
