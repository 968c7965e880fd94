"""What a process shows of a workload goes with the workload."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from sqlalchemy import Engine, text

from services.kernel import telemetry
from services.kernel.db.session import make_engine
from services.kernel.workload_series import WorkloadSeries, load_active

pytestmark = pytest.mark.integration

KEYS = [("serving", "stays"), ("serving", "goes"), ("batch", "stays")]


class Watch:
    """A monotonic clock that is set by hand."""

    at_s = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.at_s


@pytest.fixture
def shown() -> Iterator[list[Gauge]]:
    """Every gauge with a series for each workload, as the services set them."""
    gauges = telemetry.WORKLOAD_GAUGES
    for gauge in gauges:
        for key in KEYS:
            gauge.labels(*key, *["x"] * (len(gauge._labelnames) - 2)).set(1)
    yield gauges
    for gauge in gauges:
        gauge.clear()


def add(engine: Engine, *keys: tuple[str, str]) -> None:
    statement = text(
        "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, updated_at) "
        "VALUES (:namespace, :name, 0, 60, '{}', now(), now())"
    )
    with engine.begin() as connection:
        for namespace, name in keys:
            connection.execute(statement, {"namespace": namespace, "name": name})


def lose(engine: Engine, key: tuple[str, str]) -> None:
    statement = text(
        "UPDATE workloads SET is_active = false WHERE namespace = :namespace AND name = :name"
    )
    with engine.begin() as connection:
        connection.execute(statement, {"namespace": key[0], "name": key[1]})


def series(gauge: Gauge) -> set[tuple[str, ...]]:
    found = {tuple(s.labels.values())[:2] for m in gauge.collect() for s in m.samples}
    return {tuple(key) for key in found}


def test_every_gauge_of_a_workload_is_watched() -> None:
    labelled = {
        collector
        for collector in telemetry.REGISTRY._collector_to_names
        if isinstance(collector, Gauge) and "workload" in collector._labelnames
    }
    assert labelled == set(telemetry.WORKLOAD_GAUGES)
    assert len(labelled) >= 15


def test_what_is_shown_of_a_deleted_workload_goes(database: Engine, shown: list[Gauge]) -> None:
    add(database, *KEYS)
    watch, registry = Watch(), CollectorRegistry()
    registry.register(WorkloadSeries(partial(load_active, database), shown, watch))
    generate_latest(registry)
    assert all(series(gauge) == set(KEYS) for gauge in shown)
    lose(database, KEYS[1])
    generate_latest(registry)
    assert all(series(gauge) == set(KEYS) for gauge in shown), "not asked at each scrape"
    watch.at_s += 31.0
    generate_latest(registry)
    assert all(series(gauge) == {KEYS[0], KEYS[2]} for gauge in shown)


def test_a_database_that_is_away_costs_no_figure(shown: list[Gauge]) -> None:
    away = make_engine("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
    registry = CollectorRegistry()
    registry.register(WorkloadSeries(partial(load_active, away), shown))
    assert generate_latest(registry) == b""
    assert all(series(gauge) == set(KEYS) for gauge in shown)


def test_a_workload_that_comes_between_the_two_looks_stays(shown: list[Gauge]) -> None:
    """What is shown is read before the workloads are: the other way round it would go."""
    late = ("serving", "late")

    def active() -> list[tuple[str, str]]:
        shown[0].labels(*late, *["x"] * (len(shown[0]._labelnames) - 2)).set(1)
        return KEYS

    WorkloadSeries(active, shown).drop_gone()
    assert series(shown[0]) == {*KEYS, late}
