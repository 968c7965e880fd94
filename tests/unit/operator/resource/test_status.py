"""The models of the status admit what the operator writes, and spell it as Kubernetes does."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.operator.resource.status import (
    CONDITION_TYPES,
    N_HISTORY,
    GPUAutoscalerStatus,
    StatusCondition,
)
from tests.unit.operator.examples import NOW


def test_names_are_those_of_kubernetes() -> None:
    condition = StatusCondition(type="Ready", status="True", reason="R", last_transition_time=NOW)
    status = GPUAutoscalerStatus(current_replicas=2, conditions=(condition,))
    assert status.to_manifest() == {
        "currentReplicas": 2,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "R",
                "message": "",
                "lastTransitionTime": "2026-01-05T12:00:00Z",
            }
        ],
    }


def test_ready_comes_first_and_no_condition_twice() -> None:
    assert CONDITION_TYPES[0] == "Ready"
    assert len(set(CONDITION_TYPES)) == len(CONDITION_TYPES) == 19


def test_the_history_is_bounded() -> None:
    entry = {"id": 1, "time": NOW, "raw": 2, "final": 2}
    GPUAutoscalerStatus.model_validate({"decisionHistory": [entry] * N_HISTORY})
    with pytest.raises(ValidationError, match="at most 10 items"):
        GPUAutoscalerStatus.model_validate({"decisionHistory": [entry] * (N_HISTORY + 1)})
