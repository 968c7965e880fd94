"""One decision with what led to it and came of it."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("seeded")
def test_one_decision_answers_why(viewer) -> None:
    detail = viewer.get("/v1/decisions/100040").json()
    assert detail["workload"] == "llama-70b-chat"
    assert detail["model_version"] == "harmony-flow-3"
    assert detail["explanation"]["guard_trace"][0]["guard"] == "stale_input"
    assert detail["explanation"]["counterfactuals"]["median_forecast"] >= 2
    assert [action["attempt"] for action in detail["actions"]] == [1]
    assert detail["action_result"] == detail["actions"][0]["result"]
    assert len(detail["outcomes"]) == 1
    believed = detail["outcomes"][0]
    assert believed["violation_ratio"] == believed["believed_ratio"] is not None
    assert (believed["measured_ratio"], believed["sli_requests"]) == (None, None)


@pytest.mark.usefixtures("seeded")
def test_an_outcome_that_was_measured_says_of_how_many_requests(viewer) -> None:
    (felt,) = viewer.get("/v1/decisions/200040").json()["outcomes"]
    assert felt["violation_ratio"] == felt["measured_ratio"] == pytest.approx(0.12)
    assert (felt["sli_requests"], felt["is_final"]) == (400, True)
    assert (felt["sli_miss_low"], felt["sli_miss_high"]) == pytest.approx((0.09, 0.12))
    assert felt["believed_ratio"] in (0, 1)
