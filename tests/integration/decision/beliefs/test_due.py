"""When posteriors are due: by the age of what is stored, whatever was restarted meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import Engine, text

from services.decision.beliefs import due, repository
from services.decision.beliefs.due import DueFits, due_fits, fit_posteriors
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from services.kernel.db import schema
from services.kernel.jobs import DECIDE_FIT
from services.kernel.settings import Settings

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
    ),
]

NOW = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
INTERVAL_S = 3600.0


class Bench:
    """A database, a fake clock, and fits that store a row instead of sampling."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.clock = FixedClock(NOW)
        settings = settings.model_copy(update={"fit_interval_s": INTERVAL_S})
        self.deps = DecisionDeps(engine, self.clock, settings)
        self.made: list[str] = []
        self.on_fit: Callable[[str], None] = lambda _name: None

    def learns(self, name: str, gpu_type: str) -> None:
        spec = {
            "target": "Deployment/w",
            "gpu_type": gpu_type,
            "demand": "request_rate_rps",
            "indicators": [
                {"name": "request_rate_rps", "level": 1},
                {"name": "latency_p95_ms", "level": 1},
            ],
            "capacity": {
                "per_replica": 10.0,
                "latency_indicator": "latency_p95_ms",
                "slo_latency_ms": 400.0,
            },
        }
        with self.deps.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                    "updated_at) VALUES ('demo', :name, 0, 300, CAST(:spec AS jsonb), :at, :at)"
                ),
                {"name": name, "spec": json.dumps(spec), "at": NOW},
            )

    def store(self, kind: str, status: str = "promoted", **learned_for: str) -> None:
        with self.deps.engine.begin() as connection:
            connection.execute(
                schema.posteriors.insert().values(
                    kind=kind, scope="workload:1", status=status, reason="", n_observations=1,
                    summary={"learned_for": learned_for}, diagnostics={}, draws=b"",
                    fitted_at=self.clock.now(),
                )
            )  # fmt: skip

    def lead_times(self, deps: DecisionDeps) -> Any:
        self.made.append("lead_time")
        self.on_fit("lead_time")
        self.store("lead_time")
        from services.decision.beliefs.fit_lead_time import LeadTimeFitReport

        return LeadTimeFitReport(1, (), True, "")

    def capacities(self, deps: DecisionDeps, but_types: frozenset[str]) -> Any:
        with deps.engine.connect() as connection:
            types = repository.load_learning_types(connection)
        for name in sorted(types - but_types):
            self.made.append(name)
            self.on_fit(name)
            self.store("response", gpu_type=name)
        from services.decision.beliefs.fit_capacity import CapacityFitReport

        return CapacityFitReport((), {})

    def run(self, is_scheduled: bool = True) -> list[str]:
        self.made.clear()
        fit_posteriors(self.deps, is_scheduled)
        return list(self.made)


@pytest.fixture
def bench(database: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Bench:
    from services.decision.beliefs import (
        fit_capacity as service_fit_capacity,
        fit_lead_time as service_fit,
    )

    made = Bench(database, settings)
    monkeypatch.setattr(service_fit, "fit_lead_times", made.lead_times)
    monkeypatch.setattr(service_fit_capacity, "fit_capacities", made.capacities)
    made.learns("a", "H100")
    made.learns("b", "L4")
    return made


def test_fits_are_made_once_per_interval_however_often_it_is_asked(bench: Bench) -> None:
    assert bench.run() == ["lead_time", "H100", "L4"]
    for _ in range(23):
        bench.clock.advance(INTERVAL_S / 24)
        assert bench.run() == []
    bench.clock.advance(INTERVAL_S / 24)
    assert bench.run() == ["lead_time", "H100", "L4"]


def test_a_fit_that_nobody_asked_for_in_time_is_made_at_the_next_check(bench: Bench) -> None:
    """Beat was away for days and has forgotten when it sent what."""
    bench.run()
    bench.clock.advance(50.5 * INTERVAL_S)
    assert bench.run() == ["lead_time", "H100", "L4"]
    assert bench.run() == []


def test_a_fit_that_was_killed_goes_on_with_what_is_not_stored(bench: Bench) -> None:
    def die(name: str) -> None:
        if name == "L4":
            raise KeyboardInterrupt

    bench.on_fit = die
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    assert bench.made == ["lead_time", "H100", "L4"]
    bench.on_fit = lambda _name: None
    bench.clock.advance(60)
    assert bench.run() == ["L4"]
    bench.clock.advance(INTERVAL_S - 60)
    assert bench.run() == ["lead_time", "H100"]


def test_a_rejected_fit_was_made_and_each_kind_has_its_own_age(bench: Bench) -> None:
    bench.store("response", "rejected", gpu_type="H100")
    after = NOW - timedelta(seconds=INTERVAL_S)
    assert due_fits(bench.deps) == DueFits(True, frozenset({"H100"}), after=after)
    bench.store("lead_time", "rejected")
    assert due_fits(bench.deps) == DueFits(False, frozenset({"H100"}), after=after)
    assert bench.run() == ["L4"]


def test_what_is_asked_for_is_fitted_whatever_its_age(bench: Bench) -> None:
    bench.run()
    assert bench.run(is_scheduled=False) == ["lead_time", "H100", "L4"]


def test_only_one_process_fits_at_a_time(bench: Bench) -> None:
    seen: list[list[str]] = []

    def second(name: str) -> None:
        before = list(bench.made)
        fit_posteriors(bench.deps, is_scheduled=False)
        seen.append(bench.made[len(before) :])

    bench.on_fit = second
    assert bench.run() == ["lead_time", "H100", "L4"]
    assert seen == [[], [], []]
    bench.on_fit = lambda _name: None
    assert bench.run(is_scheduled=False) != []  # the lock was given back


def test_the_capacity_fit_leaves_the_fresh_types_alone(
    database: Engine, settings: Settings
) -> None:
    from services.decision.beliefs.fit_capacity import fit_capacities

    bench = Bench(database, settings)
    bench.learns("a", "H100")
    bench.learns("b", "L4")
    lacking = {1: "H100", 2: "L4"}
    every = fit_capacities(bench.deps).refused
    assert set(every) == {f"workload:{key}" for key in lacking}
    assert set(fit_capacities(bench.deps, but_types={"H100"}).refused) == {"workload:2"}
    assert fit_capacities(bench.deps, but_types={"H100", "L4"}).refused == {}


def test_the_job_passes_on_whether_it_is_scheduled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.decision import tasks

    asked: list[bool] = []
    monkeypatch.setattr(tasks, "worker_deps", lambda: bench.deps)
    monkeypatch.setattr(
        due, "fit_posteriors", lambda _deps, is_scheduled: asked.append(is_scheduled)
    )
    celery = Celery("test", include=[tasks.__name__])
    celery.loader.import_default_modules()
    celery.tasks[DECIDE_FIT]()
    celery.tasks[DECIDE_FIT](is_scheduled=True)
    assert asked == [False, True]


def test_responses_are_fitted_once_per_interval_where_there_is_an_objective(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.decision.beliefs import fit_misses

    def fit(deps: DecisionDeps, after: datetime | None) -> fit_misses.MissFitReport:
        assert after == bench.clock.now() - timedelta(seconds=INTERVAL_S)
        bench.made.append("misses")
        with deps.engine.begin() as connection:
            connection.execute(
                schema.posteriors.insert().values(
                    kind="misses", scope="workload:1", status="rejected", reason="",
                    n_observations=1, summary={"method": "pymc"}, diagnostics={}, draws=b"",
                    fitted_at=bench.clock.now(),
                )
            )  # fmt: skip
        return fit_misses.MissFitReport((), {})

    monkeypatch.setattr(fit_misses, "fit_responses", fit)
    assert bench.run() == ["lead_time", "H100", "L4"]
    objective = {"goals": [{"metric": "ttft", "threshold_s": 0.5}], "share": 0.95}
    with bench.deps.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = jsonb_set(spec, '{sla}', CAST(:sla AS jsonb)) "
                "WHERE name = 'a'"
            ),
            {"sla": json.dumps({"objective": objective})},
        )
    assert bench.run() == ["misses"]
    assert bench.run() == []
    bench.clock.advance(INTERVAL_S)
    assert bench.run() == ["lead_time", "H100", "L4", "misses"]
