"""What came of a decision, in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.admin.decisions.outcome_wording import (
    cut_off_words,
    means_words,
    miss_interval,
    step_words,
    violation_means,
)
from services.admin.decisions.schemas import KilledPodView, OutcomeView

BELIEVED: dict[str, Any] = {
    "cluster": "default",
    "namespace": "serving",
    "workload": "llama",
    "step_at": datetime(2026, 1, 6, 12, tzinfo=UTC),
    "decision_id": 1,
    "demand": 5.0,
    "ready_mean": 2.0,
    "needed_replicas": 2,
    "violation_ratio": 0.01,
    "measured_ratio": None,
    "believed_ratio": 0.01,
    "sli_requests": None,
    "sli_miss_low": None,
    "sli_miss_high": None,
    "is_final": True,
    "shortage": 0.0,
    "gpu_hours": 1.0,
    "cost_usd": 2.0,
}
MEASURED: dict[str, Any] = BELIEVED | {
    "violation_ratio": 0.012,
    "measured_ratio": 0.012,
    "sli_requests": 340.0,
    "sli_miss_low": 0.009,
    "sli_miss_high": 0.012,
}


def outcome(values: dict[str, Any], **changes: Any) -> OutcomeView:
    return OutcomeView.model_validate(values | changes)


def test_means_keep_both_sources_apart() -> None:
    steps = [outcome(MEASURED), outcome(MEASURED, measured_ratio=0.03), outcome(BELIEVED)]
    means = violation_means(steps)
    assert (means.measured, means.n_measured) == (pytest.approx(0.021), 2)
    assert (means.believed, means.n_believed) == (pytest.approx(0.01), 3)
    assert means_words(means) == "measured 2.1 % out of SLA over 2 steps, believed 1 %"
    assert means_words(violation_means(steps[2:])) == (
        "believed 1 % out of SLA over 1 step, nothing measured"
    )
    assert means_words(violation_means([])) == ""


def test_a_step_says_how_many_requests_missed_and_how_sure_that_is() -> None:
    believed = "believed 1 % of the time out of SLA"
    assert step_words(outcome(MEASURED)) == (
        f"measured 1.2 % of 340 requests missed (0.9 to 1.2 %); {believed}"
    )
    exact = outcome(MEASURED, sli_miss_low=0.012, is_final=False)
    assert step_words(exact) == (
        f"measured 1.2 % of 340 requests missed, may still change; {believed}"
    )
    assert step_words(outcome(BELIEVED)) == f"{believed}, nothing measured"


def killed(requests: float | None, grace_s: float = 30.0) -> KilledPodView:
    at = datetime(2026, 1, 6, 12, tzinfo=UTC)
    return KilledPodView(pod="x", told_at=at, killed_at=at, grace_s=grace_s, requests=requests)


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        ([killed(None)], "1 pod was killed at the end of the grace of 30 s, with"),
        ([killed(None)], "(how many is not known)"),
        ([killed(3.0), killed(None, 600.0)], "2 pods were killed at the end of the grace of 30 s"),
        ([killed(3.0), killed(None, 600.0)], " and 10 min, with the requests still there (3 seen"),
        ([killed(2.0), killed(0.0)], "1 pod was"),
    ],
)
def test_what_a_scaling_in_cut_off_is_said(pods: list[KilledPodView], words: str) -> None:
    assert words in cut_off_words(pods)


def test_pods_that_were_seen_without_requests_lost_none() -> None:
    assert cut_off_words([]) == cut_off_words([killed(0.0)]) == ""


def test_an_interval_is_of_what_was_measured_only() -> None:
    assert miss_interval(outcome(MEASURED)) == ("1.2 %", " (0.9 to 1.2 %)")
    assert miss_interval(outcome(MEASURED, sli_miss_low=None)) == ("1.2 %", "")
    assert miss_interval(outcome(BELIEVED, sli_miss_high=0.5)) is None
