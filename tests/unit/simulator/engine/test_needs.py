"""Node selectors, taints and tolerations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.simulator.engine.needs import (
    Needs,
    NodeLabel,
    NodeTaint,
    PodToleration,
    to_needs,
    to_taints,
)

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


def affinity(*terms: list[dict[str, Any]]) -> Needs:
    """Needs of a pod with a required node affinity of some terms."""
    written = [{"matchExpressions": expressions} for expressions in terms]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": written}}
    return to_needs({"affinity": {"nodeAffinity": required}}, but="gpu.product")


@pytest.mark.parametrize(
    ("operator", "values", "is_met"),
    [
        ("In", ["a", "b"], True),
        ("In", ["b"], False),
        ("NotIn", ["b"], True),
        ("NotIn", ["a"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Gt", ["1"], False),
        ("Near", ["a"], False),
    ],
)
def test_an_expression_of_a_node_affinity(operator: str, values: list[str], is_met: bool) -> None:
    needs = affinity([{"key": "zone", "operator": operator, "values": values}])
    assert needs.is_selected((NodeLabel("zone", "a"),)) is is_met


def test_expressions_compare_whole_numbers() -> None:
    more = affinity([{"key": "gpus", "operator": "Gt", "values": ["4"]}])
    fewer = affinity([{"key": "gpus", "operator": "Lt", "values": ["4"]}])
    eight, none = (NodeLabel("gpus", "8"),), (NodeLabel("zone", "a"),)
    assert (more.is_selected(eight), fewer.is_selected(eight)) == (True, False)
    assert (more.is_selected(none), fewer.is_selected(none)) == (False, False)


def test_one_term_has_to_hold_as_a_whole_beside_the_selector() -> None:
    zone = {"key": "zone", "operator": "In", "values": ["a"]}
    rack = {"key": "rack", "operator": "In", "values": ["7"]}
    both, either = affinity([zone, rack]), affinity([zone], [rack])
    labels = (NodeLabel("rack", "7"), NodeLabel("zone", "b"))
    assert (both.is_selected(labels), either.is_selected(labels)) == (False, True)
    assert not replace(either, labels=(NodeLabel("zone", "a"),)).is_selected(labels)
    assert not affinity([]).is_selected(labels), "a term without expressions selects nothing"


def test_a_taint_that_is_a_preference_repels_nobody() -> None:
    taints = [
        {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
        {"key": "old", "effect": "PreferNoSchedule"},
    ]
    assert to_taints({"taints": taints}) == (GPU,)
    assert to_taints({}) == ()
