"""Counts of an objective by remote write: rates where it has a query, else cumulative counters."""

from __future__ import annotations

import pytest

from services.ingest.deps import IngestDeps
from services.ingest.remote_write.protocol import Version
from services.ingest.remote_write.service import WriteResult, remote_write
from services.ingest.series.rules import parse_rules
from services.kernel.clock import FixedClock
from tests.integration.ingest.conftest import Register, stored_steps
from tests.integration.ingest.objective_counts import GOOD, PUSHED, TOTAL, WAITING, pulled
from tests.integration.ingest.pushes import RATE, T0, at_s, resample
from tests.unit.ingest.remote_requests import Series, body_v1, indicator

pytestmark = pytest.mark.integration
RATES = pulled(
    sli_ttft_total="sum(rate(ttft_count[$step]))", sli_ttft_good="sum(rate(ttft_bucket[$step]))"
)


def write(deps: IngestDeps, *series: Series) -> WriteResult:
    return remote_write(deps, body_v1(*series), Version.V1)


def points(*found: tuple[float, float]) -> list[tuple[int, float]]:
    """(seconds from the start, value) pairs as they are sent."""
    return [(round(at_s(offset_s) * 1000), value) for offset_s, value in found]


def test_recorded_rates_are_gauges_where_the_objective_has_a_query(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=RATES)
    clock.advance(60)
    total = points((0, 2.0), (15, 2.0), (30, 4.0), (45, 4.0))
    good = points((0, 2.0), (15, 1.0), (30, 2.0), (45, 3.0))
    done = write(deps, (indicator(TOTAL), total), (indicator(GOOD), good))
    assert (done.n_written, done.rejected) == (8, ())
    assert stored_steps(deps.engine, 1, TOTAL) == [(T0, 3.0)]
    assert stored_steps(deps.engine, 1, GOOD) == [(T0, 2.0)]


def test_counters_become_rates_where_it_has_none_and_what_a_restart_shows_counts(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    clock.advance(60)
    total = points((0, 500.0), (20, 540.0), (40, 3.0), (60, 43.0))
    write(deps, (indicator(TOTAL), total), (indicator(WAITING), points((10, 4.0), (40, 8.0))))
    assert stored_steps(deps.engine, 1, TOTAL) == [(T0, pytest.approx(83 / 60))]
    assert stored_steps(deps.engine, 1, WAITING) == [(T0, 6.0)]


def test_a_rule_names_the_count_and_pods_are_added_up(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    clock.advance(60)
    deps.remote_rules = parse_rules(
        "rules: [{match: frontend_ttft_count, namespace: shop, workload: $app, "
        "indicator: sli_ttft_total}]"
    )
    one = {"__name__": "frontend_ttft_count", "app": "w0", "pod": "a"}
    first = write(deps, (one, points((0, 0.0), (60, 60.0))))
    assert (first.n_written, first.faults, first.n_done) == (2, (), 2)
    second = write(deps, (one | {"pod": "b"}, points((0, 900.0), (60, 930.0))))
    assert second.faults == ()
    assert stored_steps(deps.engine, 1, TOTAL) == [(T0, 1.5)]


def test_a_count_that_comes_an_hour_late_corrects_its_step_and_no_other(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    clock.advance(60)
    write(deps, (indicator(RATE), points((10, 5.0))))
    resample(deps)
    clock.advance(3600)
    resample(deps)
    write(deps, (indicator(TOTAL), points((0, 0.0), (60, 120.0))))
    assert resample(deps).n_rows == 0
    assert stored_steps(deps.engine, 1, TOTAL) == [(T0, 2.0)]


def test_a_wrong_name_is_told_the_right_ones(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    clock.advance(60)
    (fault,) = write(deps, (indicator("sli_ttft_god"), points((10, 1.0)))).faults
    assert fault.reason == "unknown_indicator"
    assert "sli_ttft_good" in fault.example


def test_a_refusal_does_not_tell_which_workloads_of_others_there_are(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    """The first series that is refused is the example, whether its count is known or not."""
    sent = (indicator(TOTAL), points((10, 1.0))), (indicator("x", "none"), points((10, 1.0)))

    def told() -> WriteResult:
        return remote_write(deps, body_v1(*sent), Version.V1, frozenset({"another"}))

    before = told()
    register(objective=PUSHED)
    clock.advance(60)
    assert told() == before
    assert [one.example.split(":")[0] for one in before.faults] == [f"shop/w0 {TOTAL}"]
