"""The example manifests: what they say, and that an HPA so set arrives at what Harmony decided."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from services.kernel.settings import Settings
from services.kernel.telemetry import REGISTRY
from services.scaler.api import METRIC, TARGET
from services.scaler.plan import ObservedTarget, WorkloadFacts, advise, past_tolerance
from services.scaler.translate import to_trigger
from tests.unit.scaler.examples import NOW, STEP, facts
from tests.unit.scaler.hpa_reference import Hpa, keda

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"
MOST = 200
STARTS = (1, 2, 3, 7, 10, 19, 40, 100, 199, 200)


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load((EXAMPLES / name).read_text(), yaml.CSafeLoader)
    return document


@pytest.fixture(scope="module")
def scaled_object() -> dict[str, Any]:
    return load("keda-scaledobject.yaml")


@pytest.fixture(scope="module")
def plain_hpa() -> dict[str, Any]:
    return load("hpa-external-metric.yaml")


def test_the_address_is_the_settings_port(scaled_object: dict[str, Any]) -> None:
    (trigger,) = scaled_object["spec"]["triggers"]
    host, _, port = trigger["metadata"]["scalerAddress"].rpartition(":")
    assert host.endswith(".svc.cluster.local")
    assert int(port) == Settings.model_fields["scaler_port"].default
    assert trigger["type"] == "external"
    assert trigger["metricType"] == "AverageValue"


def test_both_follow_the_autoscaler_of_the_example(
    scaled_object: dict[str, Any], plain_hpa: dict[str, Any]
) -> None:
    ours = load("gpuautoscaler.yaml")
    key = (ours["metadata"]["namespace"], ours["metadata"]["name"])
    assert ours["spec"]["mode"] == "Advisory"
    (trigger,) = scaled_object["spec"]["triggers"]
    namespace = scaled_object["metadata"]["namespace"]
    assert to_trigger(namespace, trigger["metadata"]).key == key
    (metric,) = plain_hpa["spec"]["metrics"]
    assert metric["external"]["metric"]["selector"]["matchLabels"] == {"workload": key[1]}
    assert plain_hpa["metadata"]["namespace"] == key[0]
    for follower in (scaled_object["spec"], plain_hpa["spec"]):
        assert follower["scaleTargetRef"] == ours["spec"]["scaleTargetRef"]
    bounds = (ours["spec"]["minReplicas"], ours["spec"]["maxReplicas"])
    keda_spec, hpa_spec = scaled_object["spec"], plain_hpa["spec"]
    assert (keda_spec["minReplicaCount"], keda_spec["maxReplicaCount"]) == bounds
    assert (hpa_spec["minReplicas"], hpa_spec["maxReplicas"]) == bounds


def test_the_hpa_and_the_rule_name_our_gauges(plain_hpa: dict[str, Any]) -> None:
    names = {metric.name for metric in REGISTRY.collect()}
    (rule,) = yaml.safe_load(load("prometheus-adapter-rule.yaml")["data"]["config.yaml"])[
        "externalRules"
    ]
    (metric,) = plain_hpa["spec"]["metrics"]
    series = rule["seriesQuery"].partition("{")[0]
    assert metric["external"]["metric"]["name"] == series
    assert series in names
    assert "harmony_advice_expires_timestamp_seconds" in names
    assert "harmony_advice_expires_timestamp_seconds" in rule["metricsQuery"]
    assert rule["metricsQuery"].startswith("max by (namespace, workload)")


@pytest.mark.parametrize("version", ["1.33", "1.35", "1.37"])
@pytest.mark.parametrize("name", ["hpa-external-metric.yaml", "prometheus-adapter-rule.yaml"])
def test_kubernetes_knows_every_field(name: str, version: str) -> None:
    kubernetes_validate.validate(load(name), version, strict=True)


def behaviors() -> list[Any]:
    keda_behavior = load("keda-scaledobject.yaml")["spec"]["advanced"]
    return [
        pytest.param(
            keda_behavior["horizontalPodAutoscalerConfig"]["behavior"], id="keda-scaledobject"
        ),
        pytest.param(load("hpa-external-metric.yaml")["spec"]["behavior"], id="hpa"),
    ]


def decided(count: int, **changes: Any) -> WorkloadFacts:
    return facts(count, None, min_replicas=0, max_replicas=MOST, **changes)


def at_count(found: WorkloadFacts, current: int) -> WorkloadFacts:
    return replace(found, seen=ObservedTarget(current, NOW, NOW + STEP))


def settle(hpa: Hpa, found: WorkloadFacts, current: int, tolerance: Fraction = Fraction(0)) -> int:
    """Replicas once nothing moves any longer, with KEDA in front of the HPA."""
    for _ in range(20):
        advice = advise(at_count(found, current), NOW)
        assert advice.count is not None
        metric = past_tolerance(advice.count, advice.current, tolerance)
        woken = keda(current, advice.is_active, min_replicas=0)
        after = hpa.sync(woken, 1000 * metric) if woken else 0
        if after == current:
            return current
        current = after
    raise AssertionError(f"still moving at {current}")


@pytest.mark.parametrize("behavior", behaviors())
def test_an_hpa_arrives_at_every_decided_count(behavior: dict[str, Any]) -> None:
    hpa = Hpa(1, MOST, 1000 * TARGET, behavior)
    for count in range(MOST + 1):
        found = decided(count)
        neighbours = (max(0, count - 1), count, min(MOST, count + 1))
        for current in (0, *STARTS, *neighbours):
            assert settle(hpa, found, current) == count, (count, current)


def without_tolerance(behavior: dict[str, Any]) -> dict[str, Any]:
    return {
        direction: {name: value for name, value in rules.items() if name != "tolerance"}
        for direction, rules in behavior.items()
    }


@pytest.mark.parametrize("behavior", behaviors())
def test_the_default_tolerance_alone_would_leave_it_short(behavior: dict[str, Any]) -> None:
    """Why the manifests set it to 0: the reference must show the fault, or it proves nothing."""
    hpa = Hpa(1, MOST, 1000 * TARGET, without_tolerance(behavior))
    assert settle(hpa, decided(21), 20) == 20
    assert settle(hpa, decided(109), 100) == 100
    assert settle(hpa, decided(9), 8) == 9


@pytest.mark.parametrize("behavior", behaviors())
def test_rounded_for_the_default_tolerance_it_never_stays_short(behavior: dict[str, Any]) -> None:
    hpa = Hpa(1, MOST, 1000 * TARGET, without_tolerance(behavior))
    for count in range(MOST + 1):
        found = decided(count)
        for current in (0, *STARTS, max(0, count - 1)):
            end = settle(hpa, found, current, Fraction(1, 10))
            assert count <= end <= max(count * 1.12 + 1, count), (count, current, end)
            assert end <= MOST


@pytest.mark.parametrize("behavior", behaviors())
def test_a_held_target_does_not_move(behavior: dict[str, Any]) -> None:
    hpa = Hpa(1, MOST, 1000 * TARGET, behavior)
    for current in STARTS:
        found = decided(50, paused=True)
        assert settle(hpa, found, current) == current


def test_without_a_metric_an_hpa_stays() -> None:
    hpa = Hpa(1, MOST, 1000 * TARGET, behaviors()[0].values[0])
    assert hpa.sync(7, None) == 7
    assert METRIC == "harmony-desired-replicas"
