"""Counts of an objective by push: rates of cumulative counters, that no origin depends on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.push.service import push
from services.kernel import jobs
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from tests.exported import exported
from tests.integration.ingest.conftest import Register, stored_steps
from tests.integration.ingest.objective_counts import (
    GOOD,
    PUSHED,
    TOTAL,
    UPTO,
    WAITING,
    names_stored,
    push_count,
)
from tests.integration.ingest.pushes import RATE, T0, at_s, body, push_rate, resample

pytestmark = pytest.mark.integration
STEP = timedelta(seconds=60)


def test_a_cumulative_count_is_a_rate_per_second_and_waiting_a_mean(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    (workload_id,) = register(objective=PUSHED)
    clock.advance(60)
    push_rate(deps, (10, 5.0))
    assert push_count(deps, TOTAL, (0, 1000.0), (30, 1090.0), (60, 1120.0)).n_accepted == 3
    assert push_count(deps, GOOD, (0, 900.0), (30, 984.0), (60, 1014.0)).n_accepted == 3
    assert push_count(deps, WAITING, (10, 4.0), (40, 2.0)).n_accepted == 2
    resample(deps)
    step_s = 60
    for name, count in ((TOTAL, 120.0), (GOOD, 114.0)):
        ((at, rate),) = stored_steps(deps.engine, workload_id, name)
        assert (at, rate) == (T0, pytest.approx(count / step_s))
    assert stored_steps(deps.engine, workload_id, WAITING) == [(T0, 3.0)]


def test_a_count_that_falls_is_a_reset_and_never_a_negative_count(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    """What was counted between the last reading and the restart is unknown, and left out."""
    (workload_id,) = register(objective=PUSHED)
    clock.advance(180)
    push_rate(deps, (10, 5.0), (70, 5.0), (130, 5.0))
    readings = [(0.0, 1000.0), (60.0, 1060.0), (80.0, 1080.0), (100.0, 7.0), (120.0, 27.0)]
    assert push_count(deps, TOTAL, *readings, (180, 27.0)).n_accepted == 6
    resample(deps)
    found = stored_steps(deps.engine, workload_id, TOTAL)
    assert found == [
        (T0, pytest.approx(1.0)),
        (T0 + STEP, pytest.approx(1.0)),  # 20 of 20 s and 20 of 20 s: the mean of what is known
        (T0 + 2 * STEP, 0.0),  # nobody asked: known, and not a gap
    ]


def test_what_ingest_does_not_judge_is_stored_and_what_is_no_count_is_refused(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    (workload_id,) = register(objective=PUSHED)
    clock.advance(60)
    push_count(deps, TOTAL, (0, 0.0), (60, 60.0))
    more_good_than_all = push_count(deps, GOOD, (0, 0.0), (60, 90.0))
    assert more_good_than_all.rejected == ()
    samples: list[object] = [[at_s(20), "NaN"], [at_s(30), -1.0], [at_s(40), "+Inf"]]
    refused = push(deps, body(("w0", TOTAL, samples)))
    assert {found.reason: found.count for found in refused.rejected} == {
        "not_finite": 2,
        "negative": 1,
    }
    push_rate(deps, (10, 5.0))
    resample(deps)
    assert stored_steps(deps.engine, workload_id, TOTAL) == [(T0, 1.0)]
    assert stored_steps(deps.engine, workload_id, GOOD) == [(T0, 1.5)]


def test_a_wrong_name_is_told_the_right_ones(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    register(prefix="plain")
    clock.advance(60)
    (refused,) = push_count(deps, "sli_ttft_god", (10, 1.0)).rejected
    assert refused.reason == "unknown_indicator"
    counts = ("sli_ttft_total", "sli_ttft_good", "sli_ttft_upto", "sli_ttft_sum")
    names = ", ".join((*counts, "sli_lost", "sli_waiting", "sli_ready"))
    assert refused.example == f"shop/w0 sli_ttft_god: must be one of {names}"
    (refused,) = push_count(deps, "request_rate", (10, 1.0)).rejected
    assert "sli_" not in refused.example
    assert RATE in refused.example
    (refused,) = push(deps, body(("plain0", TOTAL, [[at_s(10), 1.0]]))).rejected
    assert "sla.objective is not set" in refused.example


def test_counts_that_are_missing_leave_no_rows_and_hold_no_origin_up(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(objective=PUSHED)
    clock.advance(60)
    push_rate(deps, (10, 5.0))
    push_count(deps, TOTAL, (0, 0.0), (60, 60.0))
    assert resample(deps).origins == (T0,)
    clock.advance(60)
    push_rate(deps, (70, 5.0))
    assert resample(deps).origins == (T0 + STEP,)
    assert len(stored_steps(deps.engine, 1, TOTAL)) == 1
    assert not {GOOD, UPTO, WAITING} & names_stored(deps)


def test_a_count_closes_no_step_before_its_demand_is_there(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    """The sender of counts is quicker than that of the demand: the step waits for its grace."""
    register(objective=PUSHED)
    clock.advance(60)
    push_rate(deps, (10, 5.0))
    assert resample(deps).origins == (T0,)
    clock.advance(60)
    push_count(deps, TOTAL, (60, 10.0), (120, 70.0))
    assert resample(deps).origins == ()
    assert resample(deps).n_rows == 0
    sender.sent.clear()
    push_rate(deps, (70, 6.0))
    assert [job.name for job in sender.sent] == [jobs.INGEST_RESAMPLE]
    assert resample(deps).origins == (T0 + STEP,)
    assert stored_steps(deps.engine, 1, TOTAL)[-1] == (T0 + STEP, pytest.approx(1.0))


def test_a_count_announces_no_step_in_the_place_of_the_demand(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    """A sample of the running step is the sign that the one before is through."""
    register(objective=PUSHED)
    push_rate(deps, (0, 5.0))
    clock.advance(60)
    push_count(deps, WAITING, (60, 1.0))
    assert sender.sent == []
    push_rate(deps, (60, 5.0))
    assert [job.name for job in sender.sent] == [jobs.INGEST_RESAMPLE]


def test_a_late_count_corrects_its_step_and_opens_none(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    (workload_id,) = register(objective=PUSHED)
    for step in range(3):
        clock.advance(60)
        push_rate(deps, (60 * step + 10, 1.0))
        assert len(resample(deps).origins) == 1
    push_count(deps, TOTAL, (60, 60.0), (120, 180.0), (180, 180.0))
    two_steps = [(T0 + STEP, 2.0), (T0 + 2 * STEP, 0.0)]
    assert stored_steps(deps.engine, workload_id, TOTAL) == two_steps
    sender.sent.clear()
    push_count(deps, TOTAL, (0, 0.0), (75, 60.0))
    assert sender.sent == []
    assert resample(deps).n_rows == 0
    corrected = [(T0, 1.0), *two_steps]
    assert stored_steps(deps.engine, workload_id, TOTAL) == corrected
    rates = [value for _, value in stored_steps(deps.engine, workload_id, RATE)]
    assert rates == [1.0, 1.0, 1.0]


def test_counts_alone_do_not_pass_for_a_demand(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    """A demand that falls silent is seen: its age grows, and its steps are gaps."""
    (workload_id,) = register(objective=PUSHED)
    clock.advance(60)
    push_rate(deps, (10, 5.0))
    resample(deps)
    clock.advance(60 + deps.settings.grace_s)
    push_count(deps, TOTAL, (60, 0.0), (120, 60.0))
    assert service.resample_shard(deps, 0, clock.now()).origins == (T0 + STEP,)
    assert stored_steps(deps.engine, workload_id, RATE)[-1] == (T0 + STEP, None)
    age_s = exported(deps.engine, clock.now(), "metrics_age_seconds", namespace="shop")
    assert age_s == (clock.now() - T0).total_seconds() - 10
