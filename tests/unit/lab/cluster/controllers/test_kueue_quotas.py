"""Which flavor a pod may have, and what a cohort leaves of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from services.lab.cluster.controllers.kueue_quotas import QuotaPlace, is_fit, left_of, quotas_of
from services.simulator.engine.engine import EnginePod, StartupSpec
from services.simulator.engine.needs import Needs, NodeLabel, PodToleration

GPU = "nvidia.com/gpu"


def queue(name: str, nominal: int, cohort: str = "", **limits: Any) -> dict[str, Any]:
    quotas = [{"name": GPU, "nominalQuota": str(nominal), **limits}]
    group = {"coveredResources": [GPU], "flavors": [{"name": "h100", "resources": quotas}]}
    spec = {"resourceGroups": [group], **({"cohortName": cohort} if cohort else {})}
    return {"metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(
    ("cohort", "limits", "used", "left"),
    [
        ("", {}, {"a": 3}, 5),
        ("all", {}, {"a": 3, "b": 1}, 8),
        ("all", {"borrowingLimit": "2"}, {"a": 3, "b": 1}, 7),
        ("all", {"borrowingLimit": "2"}, {"a": 3, "b": 8}, 1),
    ],
)
def test_what_is_left(cohort: str, limits: dict[str, Any], used: dict[str, int], left: int) -> None:
    queues = {"a": queue("a", 8, cohort, **limits), "b": queue("b", 4, cohort)}
    held = Counter({QuotaPlace(name, "h100", GPU): n for name, n in used.items()})
    (quota,) = quotas_of(queues["a"])
    assert left_of(quota, queues, held) == left


def test_a_queue_without_quotas_has_none() -> None:
    assert list(quotas_of({"metadata": {"name": "a"}})) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, True),
        ({"nodeLabels": {"nvidia.com/gpu.product": "H100"}}, True),
        ({"nodeLabels": {"nvidia.com/gpu.product": "L4"}}, False),
        ({"nodeLabels": {"zone": "a"}}, True),
        ({"nodeLabels": {"zone": "b"}}, False),
        ({"nodeTaints": [{"key": "spot", "effect": "NoSchedule"}]}, True),
        ({"nodeTaints": [{"key": "other", "effect": "NoSchedule"}]}, False),
        (
            {
                "nodeTaints": [{"key": "other", "effect": "NoSchedule"}],
                "tolerations": [{"key": "other", "operator": "Exists"}],
            },
            True,
        ),
    ],
)
def test_a_flavor_fits_where_nothing_contradicts_it(spec: dict[str, Any], expected: bool) -> None:
    needs = Needs((NodeLabel("zone", "a"),), (PodToleration("spot", is_any_value=True),))
    pod = EnginePod("ns/x", 0, "H100", 1, StartupSpec(5.0), 0.0, needs)
    assert is_fit({"metadata": {"name": "f"}, "spec": spec}, pod) is expected
