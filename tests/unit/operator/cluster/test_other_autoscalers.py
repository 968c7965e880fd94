"""Who else scales what, and who of them follows Harmony."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.kernel.telemetry import REGISTRY
from services.operator.cluster.other_autoscalers import (
    ADVISED_METRIC,
    FOLLOWS,
    OtherAutoscalers,
    to_other_autoscalers,
)

REPO = Path(__file__).parents[4]
TARGET = ("apps", "Deployment", "serving", "llama")
OWN = ("serving", "llama")


def example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPO / "deploy" / "examples" / name).read_text())
    return found


def scaled_object(*triggers: dict[str, Any], **annotations: str) -> dict[str, Any]:
    metadata = {"namespace": "serving", "name": "so", "annotations": annotations}
    spec = {"scaleTargetRef": {"name": "llama"}, "triggers": list(triggers)}
    return {"metadata": metadata, "spec": spec}


def hpa(name: str = "h", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"}
    metadata = {"namespace": "serving", "name": name, "labels": labels or {}}
    return {"metadata": metadata, "spec": {"scaleTargetRef": reference} | spec}


def told(found: OtherAutoscalers) -> tuple[str, str]:
    """Who is in conflict with the autoscaler of the examples, and who follows it."""
    return found.conflict(TARGET, OWN), found.follower(TARGET, OWN)


def test_the_examples_follow() -> None:
    assert told(to_other_autoscalers([example("keda-scaledobject.yaml")], [])) == (
        "",
        "ScaledObject/llama",
    )
    plain = to_other_autoscalers([], [example("hpa-external-metric.yaml")])
    assert told(plain) == ("", "HorizontalPodAutoscaler/llama")
    assert f"{ADVISED_METRIC}" in {metric.name for metric in REGISTRY.collect()}


def test_the_prometheus_trigger_of_the_document_follows() -> None:
    page = (REPO / "docs" / "interop.md").read_text()
    (trigger,) = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])["triggers"]
    assert told(to_other_autoscalers([scaled_object(trigger)], [])) == ("", "ScaledObject/so")


@pytest.mark.parametrize(
    "found",
    [
        scaled_object({"type": "external", "metadata": {"autoscaler": "other"}}),
        scaled_object({"type": "external", "metadata": {"workload": "elsewhere/llama"}}),
        scaled_object({"type": "cpu", "metadata": {"autoscaler": "llama"}}),
        scaled_object({"type": "prometheus", "metadata": {"query": "sum(load)"}}),
        scaled_object({"type": "external"}),
        scaled_object(),
        scaled_object(**{FOLLOWS: "other"}),
    ],
)
def test_a_follower_of_others_is_a_conflict(found: dict[str, Any]) -> None:
    assert told(to_other_autoscalers([found], [])) == ("ScaledObject/so", "")


@pytest.mark.parametrize("kind", ["external", "external-push"])
def test_both_ways_to_name_it_and_the_annotation_follow(kind: str) -> None:
    for metadata in ({"autoscaler": "llama"}, {"workload": "serving/llama"}):
        found = scaled_object({"type": kind, "metadata": metadata})
        assert told(to_other_autoscalers([found], [])) == ("", "ScaledObject/so")
    assert told(to_other_autoscalers([scaled_object(**{FOLLOWS: "llama"})], [])) == (
        "",
        "ScaledObject/so",
    )


def test_of_an_hpa_only_the_own_gauge_counts() -> None:
    metric = {"name": ADVISED_METRIC, "selector": {"matchLabels": {"workload": "other"}}}
    conflicting = [
        hpa(metrics=[{"type": "External", "external": {"metric": metric}}]),
        hpa(metrics=[{"type": "External", "external": {"metric": {"name": ADVISED_METRIC}}}]),
        hpa(metrics=[{"type": "Resource", "resource": {"name": "cpu"}}]),
    ]
    for other in conflicting:
        assert told(to_other_autoscalers([], [other])) == ("HorizontalPodAutoscaler/h", "")


def test_a_target_is_told_by_group_kind_and_place_whatever_the_version() -> None:
    pool = hpa(scaleTargetRef={"apiVersion": "x.dev/v1", "kind": "Pool", "name": "llama"})
    found = to_other_autoscalers([], [pool, hpa("g")])
    assert found.conflict(("x.dev", "Pool", "serving", "llama"), OWN) == (
        "HorizontalPodAutoscaler/h"
    )
    assert told(found) == ("HorizontalPodAutoscaler/g", "")
    assert found.conflict(("apps", "Deployment", "elsewhere", "llama"), OWN) == ""


def test_the_hpa_that_keda_makes_is_no_second_one_where_its_maker_is_known() -> None:
    keda = scaled_object({"type": "external", "metadata": {"autoscaler": "llama"}})
    made = hpa("keda-hpa-so", {"scaledobject.keda.sh/name": "so"})
    assert told(to_other_autoscalers([keda], [made])) == ("", "ScaledObject/so")
    assert told(to_other_autoscalers(None, [made])) == ("HorizontalPodAutoscaler/keda-hpa-so", "")
    beside = told(to_other_autoscalers([keda], [made, hpa()]))
    assert beside == ("HorizontalPodAutoscaler/h", "ScaledObject/so")


def test_a_follower_of_a_variant_or_pool_follows_its_autoscaler() -> None:
    trigger = {"type": "external", "metadata": {"autoscaler": "llama", "part": "prefill"}}
    assert told(to_other_autoscalers([scaled_object(trigger)], [])) == ("", "ScaledObject/so")
    selector = {"matchLabels": {"workload": "llama_prefill"}}
    metric = {"external": {"metric": {"name": ADVISED_METRIC, "selector": selector}}}
    by_gauge = hpa(metrics=[metric])
    assert told(to_other_autoscalers([], [by_gauge]))[0] == ""
