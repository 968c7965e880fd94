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
