"""Counters of single pods by remote write: the same counts as a real Prometheus gives by pull."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from services.ingest.deps import IngestDeps
from services.ingest.pull.service import pull_shard
from services.ingest.remote_write import pod_service
from services.ingest.remote_write.protocol import Version
from services.ingest.remote_write.service import WriteResult, remote_write
from services.ingest.series.owners import SeriesOwners
from services.ingest.series.pod_memory import PodMemory
from services.ingest.series.prometheus import PrometheusSource
from services.ingest.series.rules import parse_rules
from services.kernel.clock import FixedClock
from services.kernel.domain import GoalSpec, IndicatorSpec, ObjectiveSpec
from tests.contract.ingest.prometheus_world import T0, T0_S, prometheus_server
from tests.integration.ingest.conftest import Register, stored_steps
from tests.integration.ingest.objective_counts import GOOD, LOST, PUSHED, TOTAL, UPTO, pulled
from tests.integration.ingest.pull.vllm_world import (
    EDGES_S,
    LAST_S,
    METRIC,
    STEP_S,
    Pod,
    open_metrics,
    pods,
    query,
)
from tests.unit.ingest.remote_requests import STALE, Series, body_v1, indicator

pytestmark = pytest.mark.integration
NAMES = (TOTAL, GOOD, UPTO)
RULE = f"rules: [{{match: '{METRIC}_bucket', workload: w0, indicator: sli_ttft}}]"
DEMAND = IndicatorSpec(name="request_rate_rps", level=1, query=query("count"))
PULLED = pulled(
    sli_ttft_total=query("count"),
    sli_ttft_good=query("bucket", ',le=~"0\\\\.5"'),
    sli_ttft_upto=query("bucket", ',le="0.75"'),
)
OFF_EDGE = ObjectiveSpec(goals=(GoalSpec(metric="ttft", threshold_s=0.6),))
Steps = dict[str, dict[datetime, float]]


@pytest.fixture(scope="module")
def prometheus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("vllm")
    with prometheus_server(folder, open_metrics()) as url:
        yield url


def series_of(pod: Pod) -> list[Series]:
    """Every bucket of a pod with all scrapes, as a Prometheus sends them."""
    found: list[Series] = []
    for edge_s in (*EDGES_S, np.inf):
        labels = {
            "__name__": f"{METRIC}_bucket",
            "le": "+Inf" if np.isinf(edge_s) else f"{edge_s}",
            "namespace": "shop",
            "pod": pod.name,
        }
        scrapes = [((T0_S + s) * 1000, float(pod.reading(edge_s, s))) for s in pod.scrapes_s]
        found.append((labels, scrapes))
    return found


def pieces(seed: int, n_each: int) -> list[list[Series]]:
    """All that was scraped, in requests that mix pods, buckets and times; some are sent twice."""
    rng = np.random.default_rng(seed)
    parts = [
        (labels, samples[start : start + n_each])
        for pod in pods()
        for labels, samples in series_of(pod)
        for start in range(0, len(samples), n_each)
    ]
    order = rng.permutation(len(parts))
    requests = [[parts[n] for n in chunk] for chunk in np.array_split(order, 8)]
    return [*requests, requests[2], requests[5]]


def write(deps: IngestDeps, series: Sequence[Series]) -> WriteResult:
    return remote_write(deps, body_v1(*series), Version.V1)


def steps_of(deps: IngestDeps, workload_id: int) -> Steps:
    """Observed steps of each count; those that Prometheus was not asked for are left out."""
    first, last = T0 - timedelta(minutes=20), T0 + timedelta(seconds=LAST_S - STEP_S)
    return {
        name: {
            at: rate
            for at, rate in stored_steps(deps.engine, workload_id, name)
            if rate is not None and first <= at < last
        }
        for name in NAMES
    }


def assert_alike(mine: Steps, theirs: Steps) -> None:
    for name in NAMES:
        assert mine[name].keys() == theirs[name].keys(), name
        assert len(mine[name]) > 30
        for at, rate in mine[name].items():
            assert rate == pytest.approx(theirs[name][at], rel=1e-5, abs=1e-9), (name, at)


def test_the_same_pods_give_the_same_counts_by_pull_and_by_remote_write(
    deps: IngestDeps, clock: FixedClock, register: Register, prometheus_url: str
) -> None:
    """A pod that restarts, one that vanishes, a gap and a time without requests are among them."""
    (written,) = register(1, objective=OFF_EDGE)
    (asked,) = register(1, (DEMAND,), objective=PULLED, prefix="pulled")
    deps.settings = deps.settings.model_copy(update={"fit_max_steps": 20})
    deps.source = PrometheusSource(prometheus_url)
    for minutes in (0, 8, 16):
        clock.advance(minutes * 60)
        pull_shard(deps, 0, clock.now())
    deps.source.close()
    deps.remote_rules = parse_rules(RULE)
    clock.advance(60)
    done = write(deps, [series for pod in pods() for series in series_of(pod)])
    assert done.faults == ()
    assert_alike(steps_of(deps, written), steps_of(deps, asked))


def test_order_repetition_and_process_do_not_matter(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    once, mixed = register(1, objective=OFF_EDGE) + register(1, objective=OFF_EDGE, prefix="v")
    clock.advance(LAST_S)
    deps.remote_rules = parse_rules(RULE)
    write(deps, [series for pod in pods() for series in series_of(pod)])
    two = [replace(deps, pods=PodMemory(), owners=SeriesOwners()) for _ in range(2)]
    for number, request in enumerate(pieces(3, 7)):
        one = two[number % 2]
        one.remote_rules = parse_rules(RULE.replace("w0", "v0"))
        if number == 6:
            one.pods = PodMemory()  # as after a restart
        done = write(one, request)
        assert done.faults == ()
        assert done.n_done == sum(len(samples) for _, samples in request)
    assert_alike(steps_of(deps, mixed), steps_of(deps, once))


def test_only_the_buckets_that_a_goal_needs_are_kept(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(1, objective=OFF_EDGE)
    clock.advance(LAST_S)
    deps.remote_rules = parse_rules(RULE)
    write(deps, series_of(pods()[0]))
    with deps.engine.connect() as connection:
        kept = connection.execute(text("SELECT DISTINCT threshold_s FROM series_observations"))
        assert set(kept.scalars()) == {0.5, 0.75, np.inf}


def pod_counter(name: str, pod: str, *points: tuple[float, float]) -> Series:
    return indicator(name, pod=pod), [(round((T0_S + s) * 1000), value) for s, value in points]


def test_a_pod_that_vanishes_is_no_reset_of_the_others(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    clock.advance(120)
    stays = pod_counter(LOST, "a", *((s, 100 + s / 2) for s in range(0, 121, 20)))
    leaves = pod_counter(LOST, "b", (0, 900.0), (20, 920.0), (40, 940.0), (60, STALE))
    assert write(deps, [stays, leaves]).faults == ()
    (first, second) = (rate for _, rate in stored_steps(deps.engine, 1, LOST))
    assert first == pytest.approx(0.5 + (40 + 20 / 2) / 60, abs=0.2)
    assert second == pytest.approx(0.5)


def test_more_pods_than_can_be_are_refused_and_the_others_counted(
    deps: IngestDeps,
    clock: FixedClock,
    register: Register,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pod_service, "MOST_PODS", 3)
    register(2, objective=PUSHED)
    clock.advance(60)
    points = ((0, 0.0), (60, 60.0))
    first = write(deps, [pod_counter(LOST, f"p{n}", *points) for n in range(2)])
    assert first.faults == ()
    more = [pod_counter(LOST, f"p{n}", *points) for n in range(5)]
    other = (indicator(LOST, workload="w1"), more[0][1])
    (fault,) = write(deps, [*more, other]).faults
    assert (fault.reason, fault.count) == ("too_many_series", 4)
    assert "shop/w0 sli_lost: more than 3 series are alive; sum them by a recording rule" in (
        fault.example
    )
    assert stored_steps(deps.engine, 1, LOST) == [(T0, 3.0)]
    assert stored_steps(deps.engine, 2, LOST) == [(T0, 1.0)]
    again = write(deps, more[:2])
    assert again.faults == (), "those that were there go on"


def test_pods_that_went_make_room_for_others(
    deps: IngestDeps, clock: FixedClock, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_service, "MOST_PODS", 1)
    register(objective=PUSHED)
    clock.advance(60)
    write(deps, [pod_counter(LOST, "a", (0, 0.0), (60, 60.0))])
    clock.advance(400)
    assert write(deps, [pod_counter(LOST, "b", (420, 0.0), (450, 60.0))]).faults == ()


def test_what_cannot_be_is_refused_and_counted_for_the_workload(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    clock.advance(60)
    bad = pod_counter(LOST, "a", (0, -1.0), (30, 5.0), (9000, 7.0))
    faults = write(deps, [bad]).faults
    assert {fault.reason for fault in faults} == {"negative", "future"}
    with deps.engine.connect() as connection:
        counts = connection.execute(text("SELECT n_rejected FROM ingest_cursors")).scalar_one()
    assert counts == {"negative": 1, "future": 1}


def test_the_copies_of_a_second_prometheus_are_left_out(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    clock.advance(60)
    for replica in ("x", "y"):
        labels, points = pod_counter(LOST, "a", (0, 0.0), (60, 60.0))
        done = write(deps, [(dict(labels) | {"prometheus_replica": replica}, points)])
        assert done.faults == ()
    assert stored_steps(deps.engine, 1, LOST) == [(T0, 1.0)]
