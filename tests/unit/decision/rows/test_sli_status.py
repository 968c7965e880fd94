"""Whether an objective is measured and its demand censored: each with its remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.decision.rows.measured import measure
from services.decision.rows.members import ShardMember
from services.decision.rows.sli_status import SliStanding, demand_censored
from services.kernel.domain import CapacitySpec, FurtherLoadSpec
from tests.unit.decision.rows.measured_workloads import (
    GRID,
    TTFT,
    measured_member,
    member,
    sampled,
)

NAN = float("nan")
FINE: dict[str, Any] = {"ttft_total": [100.0] * 12, "ttft_good": [99.0] * 12, "lost": [0.0] * 12}


def standing(one: ShardMember, was_measured: bool = False, **counts: Any) -> SliStanding:
    return measure(one, sampled(**counts), GRID, was_measured).standing


def test_requests_that_are_counted_are_measured_without_a_word() -> None:
    assert standing(measured_member(), **FINE) == SliStanding("Measured", "", "")


def test_without_an_objective_the_remedy_is_one() -> None:
    found = standing(member())
    assert found.status == "NoObjective"
    assert "Set sla.objective" in found.message


def test_an_objective_without_series_is_told_where_to_get_them() -> None:
    found = standing(measured_member(series=()))
    assert found.status == "NoSeries"
    assert "sli_ttft_total, sli_ttft_good" in found.message
    assert "indicatorsFrom" in found.message


def test_series_that_fell_silent_are_named_with_the_last_time_they_were_known() -> None:
    gone = FINE | {"ttft_good": [99.0] * 8 + [NAN] * 4}
    found = standing(measured_member(), **gone)
    assert found.status == "NoAnswer"
    assert "sli_ttft_good (last known at 2026-01-06 11:45:00 UTC)" in found.message
    assert "sli_ttft_total (" not in found.message
    never = standing(measured_member())
    assert never.status == "NoAnswer"
    assert "sli_ttft_total (not known since 2026-01-06 11:05:00 UTC)" in never.message
    pushed = standing(measured_member(series=()), was_measured=True)
    assert pushed.status == "NoSeries", "they are not asked for any more"


def test_one_answer_among_the_newest_steps_is_one() -> None:
    late = FINE | {"ttft_good": [99.0] * 10 + [NAN] * 2}
    assert standing(measured_member(), **late).status == "Measured"


def test_no_requests_is_said_and_a_queue_without_an_answer_is_measured() -> None:
    quiet: dict[str, Any] = {"ttft_total": [0.0] * 12, "ttft_good": [0.0] * 12}
    assert standing(measured_member(), waiting=[0.0] * 12, **quiet).status == "NoRequests"
    assert standing(measured_member(), waiting=[2.0] * 12, **quiet).status == "Measured"


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"ttft_good": [120.0] * 12}, "sli_ttft_good and sli_ttft_total contradict each other"),
        ({"ttft_total": [-5.0] * 12}, "sli_ttft_total is negative"),
        ({"lost": [-5.0] * 12}, "sli_lost is negative"),
    ],
)
def test_counts_that_cannot_be_true_are_named(bad: dict[str, Any], word: str) -> None:
    found = measure(measured_member(), sampled(**(FINE | bad)), GRID, False)
    assert found.standing.status == "NoAnswer"
    assert word in found.standing.message
    assert found.steps == {}


def test_what_a_measured_objective_leaves_out_is_said() -> None:
    two = measured_member(TTFT, {"metric": "e2e", "threshold_s": 9.0})
    found = standing(two, **(FINE | {"lost": [NAN] * 12}))
    assert found.status == "Measured"
    assert "goals without sli_e2e_total, sli_e2e_good are not measured" in found.message
    assert "sli_lost does not answer" in found.message


def test_demand_as_served_is_censored_while_requests_wait() -> None:
    served = measured_member(demand_counts="served")
    message = standing(served, waiting=[0.0] * 5 + [8.0] * 5, **FINE).demand_censored_message
    assert message is not None
    assert "'request_rate_rps'" in message
    assert "8 requests waited (in 5 of the last 10 steps)" in message
    assert standing(served, waiting=[0.0] * 6 + [8.0] * 4, **FINE).demand_censored_message == ""
    assert standing(measured_member(), waiting=[8.0] * 10, **FINE).demand_censored_message == ""
    assert standing(served, **FINE).demand_censored_message is None
    assert standing(member(demand_counts="served")).demand_censored_message is None


def test_a_further_load_as_served_is_censored_too() -> None:
    served = FurtherLoadSpec(indicator="output_tokens_per_s", per_replica=2400.0, counts="served")
    spec = member().spec
    bound = spec.model_copy(
        update={"capacity": CapacitySpec(per_replica=9.0, also_bound_by=(served,))}
    )
    message = demand_censored(bound, np.array([8.0] * 10))
    assert message is not None
    assert message.startswith("further load 'output_tokens_per_s' counts what was served while 8 ")
    assert "an offered load of the preset" in message
    both = demand_censored(
        bound.model_copy(update={"demand_counts": "served"}), np.array([8.0] * 10)
    )
    assert both is not None
    assert both.startswith("demand 'request_rate_rps', further load 'output_tokens_per_s' counts")
    assert demand_censored(bound, np.full(3, NAN)) is None


def test_a_queue_is_looked_for_in_the_newest_known_steps() -> None:
    spec = member(demand_counts="served").spec
    waiting = np.array([9.0] * 20 + [NAN, 0.0] * 10)
    assert demand_censored(spec, waiting) == ""
    assert demand_censored(spec, np.full(3, NAN)) is None
