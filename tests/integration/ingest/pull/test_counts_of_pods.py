"""Counts from a real Prometheus, of pods that restart and vanish, within the error that it has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.pull.service import pull_shard
from services.ingest.series.prometheus import PrometheusSource
from services.kernel.clock import FixedClock
from services.kernel.domain import IndicatorSpec
from tests.contract.ingest.prometheus_world import T0, prometheus_server
from tests.integration.ingest.conftest import Register, stored_steps
from tests.integration.ingest.objective_counts import pulled
from tests.integration.ingest.pull.vllm_world import (
    IDLE_S,
    RESTART_S,
    SCRAPE_S,
    SILENT_S,
    STEP_S,
    VANISH_S,
    open_metrics,
    pods,
    query,
)

pytestmark = pytest.mark.integration
DEMAND = IndicatorSpec(name="request_rate_rps", level=1, query=query("count"))
EDGE_S = {"sli_ttft_total": np.inf, "sli_ttft_good": 0.5, "sli_ttft_upto": 0.75}
OBJECTIVE = pulled(
    sli_ttft_total=query("count"),
    sli_ttft_good=query("bucket", ',le=~"0\\\\.5"'),
    sli_ttft_upto=query("bucket", ',le="0.75"'),
)
STEPS = range(-30, 22)
SILENT = set(range(SILENT_S.start // STEP_S, SILENT_S.stop // STEP_S))
IDLE = set(range(IDLE_S.start // STEP_S, IDLE_S.stop // STEP_S))
Counts = dict[str, dict[int, float]]


@pytest.fixture(scope="module")
def prometheus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("vllm")
    with prometheus_server(folder, open_metrics()) as url:
        yield url


@pytest.fixture
def counts(deps: IngestDeps, clock: FixedClock, register: Register, prometheus_url: str) -> Counts:
    """Count per name and step, of the steps that are observed."""
    (workload_id,) = register(1, (DEMAND,), objective=OBJECTIVE)
    deps.source = PrometheusSource(prometheus_url)
    deps.settings = deps.settings.model_copy(update={"fit_max_steps": 20})
    for minutes in (0, 8, 14):
        clock.advance(minutes * 60)
        pull_shard(deps, 0, clock.now())
        service.resample_shard(deps, 0, clock.now())
    deps.source.close()
    found: Counts = {}
    for name in EDGE_S:
        steps = stored_steps(deps.engine, workload_id, name)
        numbers = {(at - T0) // timedelta(seconds=STEP_S): rate for at, rate in steps}
        found[name] = {step: rate * STEP_S for step, rate in numbers.items() if rate is not None}
    return found


def test_counts_of_steps(counts: Counts) -> None:
    for name, edge_s in EDGE_S.items():
        found = counts[name]
        # a step of no scrape has no row; one of scrapes and no requests is 0
        assert set(found) == set(STEPS) - SILENT, name
        assert {found[step] for step in IDLE} == {0.0}, name
        for step in set(STEPS) - SILENT - IDLE:
            low, high = _seen(edge_s, step)
            assert low - 1e-3 <= found[step] <= high + 1e-3, (name, step)


def _seen(edge_s: float, step: int) -> tuple[float, float]:
    """Rises between scrapes, and those with the most that an extrapolation adds at the ends."""
    low = high = 0.0
    for pod in pods():
        rise, seconds = pod.rise(edge_s, step)
        low += rise
        high += rise * (seconds + SCRAPE_S) / seconds if seconds else 0.0
    return low, high


def test_what_is_lost_is_bounded_and_what_is_found_is_right_in_the_long_run(
    counts: Counts,
) -> None:
    for name, edge_s in EDGE_S.items():
        steps = sorted(set(STEPS) - SILENT - {RESTART_S // STEP_S, VANISH_S // STEP_S})
        true = [_true(edge_s, step) for step in steps]
        assert sum(counts[name][step] for step in steps) == pytest.approx(sum(true), rel=0.05)
        for step in (RESTART_S // STEP_S, VANISH_S // STEP_S):
            lost = sum(_lost(edge_s, step, pod.name) for pod in pods())
            assert lost > 0, name
            low, _ = _seen(edge_s, step)
            assert low <= _true(edge_s, step)


def _true(edge_s: float, step: int) -> int:
    within = np.concatenate([pod.within(edge_s) for pod in pods()])
    return int(np.count_nonzero((within > step * STEP_S) & (within <= (step + 1) * STEP_S)))


def _lost(edge_s: float, step: int, name: str) -> int:
    """Requests after the last scrape of a process that ends in this step."""
    (pod,) = (one for one in pods() if one.name == name)
    end_s = pod.restart_s if name == "chat-0" else VANISH_S
    if end_s // STEP_S != step:
        return 0
    last_s = max(at_s for at_s in pod.scrapes_s if at_s < end_s)
    within = pod.within(edge_s)
    return int(np.count_nonzero((within > last_s) & (within <= end_s)))


def test_good_and_all_share_the_error_so_their_share_is_that_of_what_was_seen(
    counts: Counts,
) -> None:
    """But where the extrapolation ends at the birth of a counter: the step of the restart."""
    for step in set(STEPS) - SILENT - IDLE - {RESTART_S // STEP_S, VANISH_S // STEP_S}:
        if step < VANISH_S // STEP_S:
            continue  # of two pods, each has its own scrapes
        (rise, _), (within, _) = (pods()[0].rise(edge_s, step) for edge_s in (np.inf, 0.5))
        share = counts["sli_ttft_good"][step] / counts["sli_ttft_total"][step]
        assert share == pytest.approx(within / rise, rel=1e-5), step
