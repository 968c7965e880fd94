"""Node selectors, taints and tolerations."""

from __future__ import annotations

from typing import Any

import pytest

from services.simulator.engine.needs import NodeLabel, NodeTaint, PodToleration, to_needs, to_taints

GPU = NodeTaint("gpu", "yes", "NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "covers"),
    [
        (PodToleration("gpu", "yes", "NoSchedule"), True),
        (PodToleration("gpu", "yes"), True),
        (PodToleration("gpu", "no", "NoSchedule"), False),
        (PodToleration("gpu", "yes", "NoExecute"), False),
        (PodToleration("other", "yes"), False),
        (PodToleration("gpu", is_any_value=True), True),
        (PodToleration(is_any_value=True), True),
    ],
)
def test_a_toleration_covers_a_taint_of_its_key_value_and_effect(
    toleration: PodToleration, covers: bool
) -> None:
    assert toleration.covers(GPU) is covers


def test_needs_are_read_from_a_pod_specification() -> None:
    spec: dict[str, Any] = {
        "nodeSelector": {"zone": "a", "gpu.product": "H100"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    }
    needs = to_needs(spec, but="gpu.product")
    assert needs.is_selected((NodeLabel("rack", "7"), NodeLabel("zone", "a")))
    assert not needs.is_selected((NodeLabel("zone", "b"),))
    other = NodeTaint("spot", "", "NoExecute")
    assert needs.repelled_by((GPU,)) is None
    assert needs.repelled_by((GPU, other)) == other


def test_a_taint_that_is_a_preference_repels_nobody() -> None:
    taints = [
        {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
        {"key": "old", "effect": "PreferNoSchedule"},
    ]
    assert to_taints({"taints": taints}) == (GPU,)
    assert to_taints({}) == ()
