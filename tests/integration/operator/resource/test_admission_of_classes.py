"""A wrong SLAClass or GPUBudget is refused by the API server, with the field and the rule."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from services.operator.resource.fields import API_VERSION

pytestmark = pytest.mark.integration

GOAL = {"metric": "ttft", "threshold": "500ms"}
ITL = {"metric": "itl", "threshold": "50ms"}


@pytest.mark.parametrize(
    ("kind", "spec", "field", "words"),
    [
        ("slaclasses", {}, "spec.risk", "Required"),
        ("slaclasses", {"risk": {"epsilon": "2"}}, "spec.risk", "between 0 and 1"),
        ("slaclasses", {"risk": {"epsilon": "0.1", "window": "0h"}}, "spec.risk", "longer than 0"),
        ("slaclasses", {"risk": {"epsilon": "0.1"}, "priority": 0}, "spec.priority", "equal to 1"),
        (
            "slaclasses",
            {"risk": {"epsilon": "0.1"}, "objective": {}},
            "spec.objective.goals",
            "Required",
        ),
        (
            "slaclasses",
            {"risk": {"epsilon": "0.1"}, "objective": {"goals": [GOAL, GOAL]}},
            "spec.objective.goals",
            "Duplicate",
        ),
        (
            "slaclasses",
            {"risk": {"epsilon": "0.1"}, "objective": {"goals": [{"metric": "e2e"}]}},
            "spec.objective.goals[0]",
            "threshold is needed",
        ),
        (
            "slaclasses",
            {
                "risk": {"epsilon": "0.1"},
                "objective": {"goals": [{"metric": "e2e", "threshold": "25h"}]},
            },
            "spec.objective.goals[0]",
            "threshold must not be longer than 24h",
        ),
        (
            "slaclasses",
            {"risk": {"epsilon": "0.1"}, "objective": {"goals": [GOAL], "share": "1.5"}},
            "spec.objective",
            "share must be between 0 and 1",
        ),
        (
            "slaclasses",
            {
                "risk": {"epsilon": "0.1", "kind": "DemandFraction"},
                "objective": {"goals": [ITL]},
            },
            "spec",
            "an itl goal counts tokens",
        ),
        ("gpubudgets", {"gpus": 4}, "spec.gpuType", "Required"),
        ("gpubudgets", {"gpuType": "*", "gpus": 4}, "spec", "must name one type"),
        ("gpubudgets", {"gpuType": "H100", "gpus": -1}, "spec.gpus", "equal to 0"),
        ("gpubudgets", {"gpuType": "H100", "gpus": "4"}, "spec.gpus", "integer"),
    ],
)
def test_wrong_classes_and_budgets_are_refused(
    api: httpx.Client, kind: str, spec: dict[str, Any], field: str, words: str
) -> None:
    body = {"metadata": {"name": "x"}, "spec": spec}
    refused = api.post(f"/apis/{API_VERSION}/{kind}", json=body)
    assert refused.status_code == 422, refused.text
    causes = refused.json()["details"]["causes"]
    assert any(cause["field"].startswith(field) for cause in causes), causes
    assert words in refused.json()["message"]
