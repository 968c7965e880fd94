"""Pushed samples: refused ones are counted, the others kept."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.ingest.deps import IngestDeps
from services.ingest.push.service import push
from services.kernel import telemetry
from services.kernel.clock import FixedClock
from tests.exported import exported
from tests.integration.ingest.conftest import Register
from tests.integration.ingest.pushes import HEAT, RATE, T0, at_s, body, push_rate, resample

pytestmark = pytest.mark.integration


def cursor(database: Engine, workload_id: int) -> dict[str, object]:
    statement = text("SELECT * FROM ingest_cursors WHERE workload_id = :id")
    with database.connect() as connection:
        return dict(connection.execute(statement, {"id": workload_id}).mappings().one())


def test_a_sample_later_than_late_s_is_refused(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register()
    late_s = deps.settings.late_s
    clock.advance(60 + late_s)
    push_rate(deps, (0, 1.0))  # its step ended late_s ago
    clock.advance(1)
    result = push(deps, body(("w0", RATE, [[at_s(59), 1.0]])))
    assert [rejection.reason for rejection in result.rejected] == ["ancient"]


def test_refused_samples_are_counted_and_the_others_kept(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    (workload_id,) = register()
    before = telemetry.REGISTRY.get_sample_value(
        "harmony_samples_rejected_total", {"source": "push", "reason": "negative"}
    )
    clock.advance(60)
    samples = [[at_s(1), 1.0], [at_s(2), -1], [at_s(3), "NaN"], [at_s(9999), 1], ["never", 1]]
    result = push(
        deps,
        body(
            ("w0", RATE, samples),
            ("w0", HEAT, [[at_s(1), -4.0]]),
            ("w0", "no_such", [[at_s(1), 1.0]]),
            ("stranger", RATE, [[at_s(1), 1.0], [at_s(2), 1.0]]),
        ),
    )
    assert result.n_accepted == 2  # a temperature may be negative
    counts = {rejection.reason: rejection.count for rejection in result.rejected}
    assert counts == {
        "bad_time": 1,
        "unknown_indicator": 1,
        "unknown_workload": 2,
        "not_finite": 1,
        "negative": 1,
        "future": 1,
    }
    examples = {rejection.reason: rejection.example for rejection in result.rejected}
    assert examples["negative"].startswith(
        "shop/w0 request_rate_rps at 2026-01-05T00:00:02+00:00: -1"
    )
    assert "must be one of request_rate_rps" in examples["unknown_indicator"]
    counted = {key: n for key, n in counts.items() if key != "unknown_workload"}
    assert cursor(deps.engine, workload_id)["n_rejected"] == counted
    push(deps, body(("w0", RATE, [[at_s(4), -1.0]])))
    assert cursor(deps.engine, workload_id)["n_rejected"] == {**counted, "negative": 2}
    after = telemetry.REGISTRY.get_sample_value(
        "harmony_samples_rejected_total", {"source": "push", "reason": "negative"}
    )
    assert after == (before or 0) + 2


def test_age_of_metrics_grows_while_nothing_arrives(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(prefix="aging")
    clock.advance(60)
    push_rate(deps, (50, 1.0), workload="aging0")
    assert exported(deps.engine, clock.now(), "metrics_age_seconds", workload="aging0") == 10
    clock.advance(100)
    assert exported(deps.engine, clock.now(), "metrics_age_seconds", workload="aging0") == 110


def test_an_inactive_workload_holds_nobody_up(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(2)
    with deps.engine.begin() as connection:
        connection.execute(text("UPDATE workloads SET is_active = false WHERE name = 'w1'"))
    clock.advance(60)
    push_rate(deps, (10, 1.0))
    assert resample(deps).origins == (T0,)
    refused = push(deps, body(("w1", RATE, [[at_s(10), 1.0]]))).rejected
    assert [rejection.reason for rejection in refused] == ["unknown_workload"]


def test_a_changed_spec_counts_at_once(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    (workload_id,) = register()
    clock.advance(60)
    assert push(deps, body(("w0", "new_ratio", [[at_s(1), 1.0]]))).n_accepted == 0
    with deps.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec_version = 2, spec = jsonb_set(spec, '{indicators}', "
                'spec->\'indicators\' || \'[{"name": "new_ratio", "level": 2}]\') WHERE id = :id'
            ),
            {"id": workload_id},
        )
    assert push(deps, body(("w0", "new_ratio", [[at_s(1), 1.0]]))).n_accepted == 1
