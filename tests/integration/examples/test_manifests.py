"""The example manifests on the API server with the CRDs, and in the operator's own reading.

Beside them one deliberately wrong manifest for each rule: admission refuses it and names the field.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from services.kernel.clock import FixedClock
from services.operator.resource.definitions import DEFINITIONS
from services.operator.resource.fields import API_VERSION
from services.operator.resource.spec import GPUBudgetSpec
from services.operator.resource.translate import to_autoscaler, to_classes
from tests.integration.examples.api_server import api_server

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"
Manifest = dict[str, Any]


def load(path: Path) -> Manifest:
    return dict(yaml.load(path.read_text(), yaml.CSafeLoader))


# Objects of other projects are read by their own tests.
OURS = {
    path.name: manifest
    for path in sorted(EXAMPLES.glob("*.yaml"))
    if (manifest := load(path))["apiVersion"] == API_VERSION
}
CLASSES = to_classes(m for m in OURS.values() if m["kind"] == "SLAClass")
ADVISORY, PRESETS, LOADS = "vllm-advisory.yaml", "vllm-presets.yaml", "vllm-loads.yaml"
SERVICES = [name for name, m in OURS.items() if m["kind"] == "GPUAutoscaler"]


def path_of(manifest: Manifest) -> str:
    definition = next(d for d in DEFINITIONS if d.kind == manifest["kind"])
    namespace = manifest["metadata"].get("namespace")
    scope = f"namespaces/{namespace}/" if definition.is_namespaced else ""
    return f"/apis/{API_VERSION}/{scope}{definition.plural}"


@pytest.fixture(scope="module")
def api() -> Iterator[httpx.Client]:
    with api_server() as client:
        yield client


@pytest.mark.parametrize("name", OURS)
def test_admission_takes_the_example_as_it_stands(api: httpx.Client, name: str) -> None:
    manifest = OURS[name]
    created = api.post(path_of(manifest), json=manifest)
    assert created.status_code == 201, created.text
    # Nothing that somebody wrote was pruned: a misspelt field would vanish without a word.
    assert is_within(manifest["spec"], created.json()["spec"])


def is_within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return all(name in whole and is_within(part[name], whole[name]) for name in part)
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(is_within, part, whole))
    return bool(part == whole)


@pytest.mark.parametrize("name", SERVICES)
def test_the_operator_understands_the_example(
    api: httpx.Client, name: str, clock: FixedClock
) -> None:
    manifest = copy.deepcopy(OURS[name])
    manifest["metadata"]["name"] += "-read"
    created = api.post(path_of(manifest), json=manifest).raise_for_status().json()
    found = to_autoscaler(created, CLASSES)
    assert (found.problem, found.missing_class) == ("", "")
    assert found.spec is not None
    assert found.spec.mode == manifest["spec"]["mode"]
    promised = manifest["spec"]["sla"].get("risk") or {}
    wanted = promised.get("epsilon") or CLASSES[manifest["spec"]["sla"]["class"]].risk.epsilon
    assert found.spec.sla.epsilon == float(wanted)


@pytest.mark.parametrize("name", SERVICES)
def test_queries_cover_exactly_a_step_and_one_service(name: str) -> None:
    spec = OURS[name]["spec"]
    for indicator in spec["indicators"]:
        query = indicator.get("query", "")
        if "rate(" in query or "_over_time(" in query:
            assert "[$step]" in query, indicator["name"]
        assert "vector(0)" not in query, "a silent exporter must be a gap, not a zero"


def test_the_loads_of_the_example_arrive() -> None:
    stored = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    found = to_autoscaler(OURS[LOADS] | {"metadata": OURS[LOADS]["metadata"] | stored}, CLASSES)
    assert found.spec is not None
    assert found.spec.further_loads == ("offered_output_tokens_per_s", "offered_kv_tokens")
    assert found.spec.served_loads == ()


@pytest.mark.parametrize("name", [ADVISORY, PRESETS, LOADS])
def test_the_objective_of_the_example_is_measured(name: str) -> None:
    stored = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    found = to_autoscaler(OURS[name] | {"metadata": OURS[name]["metadata"] | stored}, CLASSES)
    assert (found.unmeasured, found.objective_note) == (None, "")
    assert found.spec is not None
    assert found.spec.sla.objective is not None
    assert all("[$step]" in one.query for one in found.spec.sla.objective.series)
    assert {one.name for one in found.spec.sla.objective.series} >= {"sli_ttft_good", "sli_lost"}


def test_every_gpu_budget_can_be_read() -> None:
    budgets = [m for m in OURS.values() if m["kind"] == "GPUBudget"]
    assert [GPUBudgetSpec.model_validate(m["spec"]).gpus for m in budgets] == [128]


def test_the_classes_weigh_as_their_names_say() -> None:
    assert {name: c.priority for name, c in CLASSES.items()} == {
        "gold": 200,
        "silver": 100,
        "bronze": 50,
    }


def changed(name: str, place: str, value: Any) -> Manifest:
    """An example with one field set (None: taken away); `place` is dotted, lists by number."""
    manifest = copy.deepcopy(OURS[name])
    manifest["metadata"]["name"] = "wrong"
    *path, last = place.split(".")
    node: Any = manifest["spec"]
    for part in path:
        node = node[int(part)] if part.isdigit() else node.setdefault(part, {})
    if value is None:
        del node[last]
    else:
        node[last] = value
    return manifest


AUTO, BRONZE, BUDGET = "auto-schedules.yaml", "slaclass-bronze.yaml", "gpubudget.yaml"
APPROVAL, VARIANTS, POOLS = "approval.yaml", "variants.yaml", "pools.yaml"
SINGLE = {"metric": "ttft_p95", "threshold": "1s"}
TOKENS = {
    "risk": {"epsilon": "0.01", "kind": "DemandFraction"},
    "objective": {"goals": [{"metric": "itl", "threshold": "50ms"}]},
}
VARIANT = {
    "name": "l4", "scaleTargetRef": {"kind": "Deployment", "name": "x"}, "gpuType": "L4",
}  # fmt: skip
BREAKS_A_RULE = [
    (AUTO, "minReplicas", 41, "minReplicas must not be greater than maxReplicas"),
    (AUTO, "demand", "tokens", "demand must be the name of one of the indicators"),
    (AUTO, "indicators", None, "give indicators, indicatorsFrom or both"),
    (PRESETS, "indicatorsFrom", None, "latencyIndicator must be the name of another indicator"),
    (AUTO, "sla", None, "mode Auto needs an sla"),
    (ADVISORY, "sla", {"objective": {"metric": "m", "threshold": "1"}}, "needs a class or a risk"),
    (APPROVAL, "sla.risk.epsilon", "0", "epsilon must be between 0 and 1"),
    (APPROVAL, "sla.risk.epsilon", "1.0", "epsilon must be between 0 and 1"),
    (PRESETS, "sla.objective.metric", "ttft_p95", "either goals, or one metric"),
    (APPROVAL, "sla.objective", SINGLE | {"share": "0.9"}, "share goes with goals"),
    (PRESETS, "sla.objective.share", "1", "share must be between 0 and 1"),
    (PRESETS, "sla.objective.goals.0.threshold", None, "threshold is needed for each latency"),
    (PRESETS, "sla.objective.goals.0.threshold", "0s", "threshold must be longer than 0"),
    (PRESETS, "sla.objective.goals.0.threshold", "25h", "threshold must not be longer than 24h"),
    (PRESETS, "sla.objective.goals.0.goodQuery", "x", "goodQuery and totalQuery must be given"),
    (APPROVAL, "sla", TOKENS, "an itl goal counts tokens"),
    (AUTO, "capacity.perReplica", "0", "perReplica must be greater than 0"),
    (LOADS, "capacity.alsoBoundBy.0.perReplica", "0", "perReplica must be greater than 0"),
    (LOADS, "capacity.alsoBoundBy.0.indicator", "campaign_ratio", "and not known ahead: a load"),
    (LOADS, "capacity.alsoBoundBy.0.indicator", "nothing", "of one of a preset's, and not known"),
    (
        LOADS,
        "capacity.alsoBoundBy.0.indicator",
        "offered_request_rate_rps",
        "alsoBoundBy must be another one than the demand",
    ),
    (ADVISORY, "capacity.sloLatency", None, "latencyIndicator and sloLatency must be given"),
    (AUTO, "schedules.0.maxReplicas", 5, "minReplicas must not be greater than its maxReplicas"),
    (AUTO, "schedules.2.freeze", None, "a schedule needs minReplicas, maxReplicas or freeze"),
    (AUTO, "schedules.1.endTime", "23:00", "startTime and endTime must differ"),
    (AUTO, "schedules.0.start", "0 7 * * *", "give either startTime and endTime, or the cron"),
    (AUTO, "schedules.4.end", None, "give either startTime and endTime, or the cron expressions"),
    (AUTO, "schedules.4.daysOfWeek", ["Mon"], "daysOfWeek goes with startTime and endTime"),
    (AUTO, "schedules.0.minReplicas", 41, "must lie between those of the spec"),
    (AUTO, "demand", "campaign_ratio", "demand must not be known ahead"),
    (AUTO, "indicators.1.query", "up", "an indicator known ahead is a gauge without a query"),
    (AUTO, "indicators.1.gap", "Zero", "gap: Zero needs a gauge whose query covers a step"),
    (AUTO, "indicators.1.name", "sli_campaign", "name must not begin with sli_"),
    (AUTO, "fallback.staticReplicas", 41, "staticReplicas must not be greater than maxReplicas"),
    (AUTO, "behavior.scaleUp.tolerance", "1.1", "tolerance must not be greater than 1"),
    (AUTO, "capacity.cv", "2", "cv must not be greater than 1"),
    (AUTO, "leadTime", {"median": "0s"}, "median must be longer than 0"),
    (AUTO, "leadTime", {"median": "150m"}, "median must not be longer than 2h"),
    (AUTO, "leadTime", {"sigma": "3.5"}, "sigma must not be greater than 3"),
    (AUTO, "cost.perGpuHour", "1000001", "perGpuHour must not be greater than 1000000"),
    (VARIANTS, "variants.0.cost.perGpuHour", "9" * 306, "perGpuHour must not be greater than"),
    (POOLS, "pools.1.cost.perGpuHour", 1_000_001, "perGpuHour must not be greater than 1000000"),
    (ADVISORY, "capacity.latencyIndicator", "queue_requests", "latencyIndicator must be the name"),
    (ADVISORY, "capacity.sloLatency", "0ms", "sloLatency must be longer than 0"),
    (APPROVAL, "approval.expireAfter", "0m", "expireAfter must be longer than 0"),
    (APPROVAL, "sla.risk.window", "0d", "window must be longer than 0"),
    (AUTO, "scaleTargetRef", None, "give either scaleTargetRef or variants"),
    (VARIANTS, "scaleTargetRef", {"kind": "Deployment", "name": "x"}, "give either scaleTargetRef"),
    (VARIANTS, "gpuType", "H100", "give gpuType with scaleTargetRef"),
    (AUTO, "gpuType", None, "give gpuType with scaleTargetRef"),
    (VARIANTS, "gpusPerReplica", 2, "with variants or pools gpusPerReplica and cost"),
    (VARIANTS, "cost", {"perGpuHour": "1"}, "with variants or pools gpusPerReplica and cost"),
    (VARIANTS, "variants.0.scaleTargetRef.name", "llama-h100", "a scaleTargetRef of its own"),
    (VARIANTS, "variants.0.minReplicas", 41, "a variant's minReplicas must not be greater"),
    (VARIANTS, "variants.1.capacity.perReplica", "0", "perReplica must be greater than 0"),
    (POOLS, "gpuType", "H100", "give gpuType with scaleTargetRef"),
    (POOLS, "cost", {"perGpuHour": "1"}, "with variants or pools gpusPerReplica and cost belong"),
    (POOLS, "pools.0.scaleTargetRef.name", "llama-decode", "each pool must have a scaleTargetRef"),
    (POOLS, "pools.1.maxReplicas", 1, "a pool's minReplicas must not be greater"),
    (POOLS, "pools.0.leadTime", {"median": "0s"}, "median must be longer than 0"),
    (POOLS, "pools.0.leadTime", {"median": "3h"}, "median must not be longer than 2h"),
    (POOLS, "pools.0.boundBy", ["nothing"], "boundBy of a pool must name loads"),
    (POOLS, "pools.0.boundBy", ["output_tokens_per_s"], "in the boundBy of exactly one pool"),
    (POOLS, "capacity.alsoBoundBy", None, "boundBy of a pool must name loads"),
    (POOLS, "pools.0.occupancyIndicator", "kv_cache_ratio", "an occupancyIndicator of its own"),
    (POOLS, "pools.0.occupancyIndicator", None, "occupancyOf of a pool must be left out without"),
    (POOLS, "pools.1.occupancyIndicator", "nothing", "occupancyIndicator of a pool must be the na"),
    (POOLS, "pools.1.occupancyIndicator", "input_tokens_per_s", "another indicator than the loads"),
    (POOLS, "capacity.latencyIndicator", "ttft_p95_ms", "must be left out with pools"),
    (POOLS, "variants", [VARIANT], "give either variants or pools"),
    (BRONZE, "risk.epsilon", "1.5", "epsilon must be between 0 and 1"),
    (BUDGET, "gpuType", "*", "gpuType must name one type, without *"),
    (BUDGET, "supply", {"mode": "fixed", "ceiling": 8}, "mode fixed reads no ceiling"),
    (BUDGET, "supply", {"headroom": {"risk": "0.9"}}, "risk must be from 0.001 to 0.5"),
    (BUDGET, "supply", {"nodeStartup": "0s"}, "nodeStartup must be longer than 0"),
    (BRONZE, "risk.window", "0d", "window must be longer than 0"),
]
BREAKS_THE_SCHEMA = [
    (AUTO, "mode", "Automatic", "mode"),
    (AUTO, "maxReplicas", None, "maxReplicas"),
    (AUTO, "indicators", [], "indicators"),
    (AUTO, "indicators.0.level", 4, "level"),
    (AUTO, "gpusPerReplica", 0, "gpusPerReplica"),
    (AUTO, "leadTime", {"median": "90"}, "median"),
    (AUTO, "schedules.0.startTime", "7:30", "startTime"),
    (AUTO, "schedules.0.daysOfWeek", ["Monday"], "daysOfWeek"),
    (AUTO, "schedules.4.start", "0 7 * *", "start"),
    (AUTO, "behavior.scaleDown.policies.0.type", "Replicas", "type"),
    (LOADS, "capacity.alsoBoundBy", [], "alsoBoundBy"),
    (LOADS, "capacity.alsoBoundBy.0.counts", "Both", "counts"),
    (LOADS, "capacity.alsoBoundBy.0.indicator", "offered_kv_tokens", "Duplicate"),
    (APPROVAL, "approval.expireAfter", "15", "expireAfter"),
    (APPROVAL, "sla.risk.epsilon", "1%", "epsilon"),
    (BRONZE, "priority", 0, "priority"),
    (PRESETS, "sla.objective.goals.0.metric", "tpot", "Duplicate"),
    (BRONZE, "objective", {"share": "0.9"}, "goals"),
    (VARIANTS, "variants", [], "variants"),
    (VARIANTS, "variants.0.name", "h100", "Duplicate"),
    (VARIANTS, "variants.0.gpuType", None, "gpuType"),
    (VARIANTS, "variants.0.scaleTargetRef", None, "scaleTargetRef"),
    (POOLS, "pools.0.name", "decode", "Duplicate"),
    (POOLS, "pools.0.boundBy", [], "boundBy"),
    (POOLS, "pools.1.occupancyIndicator", "", "occupancyIndicator"),
    (BUDGET, "gpus", -1, "gpus"),
    (BUDGET, "gpuType", None, "gpuType"),
]


@pytest.mark.parametrize(("name", "place", "value", "said"), [*BREAKS_A_RULE, *BREAKS_THE_SCHEMA])
def test_admission_refuses_what_is_wrong_and_says_so(
    api: httpx.Client, name: str, place: str, value: Any, said: str
) -> None:
    manifest = changed(name, place, value)
    refused = api.post(path_of(manifest), json=manifest)
    assert refused.status_code == 422, refused.text
    assert said in refused.json()["message"]


def test_there_is_a_wrong_manifest_for_every_rule() -> None:
    messages = {rule.message for definition in DEFINITIONS for rule in definition.rules}
    told = [said for *_, said in BREAKS_A_RULE]
    assert [m for m in messages if not any(said in m for said in told)] == []


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("schedules.0.timezone", "Europe/Berlim", "must be an IANA name"),
        ("schedules.4.start", "0 25 * * *", "schedules[month-end].start: hour: '25' must lie"),
        ("schedules.4.end", "0 8 2 14 *", "schedules[month-end].end: month: '14' must lie"),
        ("schedules.4.end", "0 8 31 4 *", "schedules[month-end].end: '0 8 31 4 *' never comes"),
        ("sla", {"class": "platinum"}, "does not exist or cannot be read"),
    ],
)
def test_what_admission_cannot_see_becomes_a_problem_that_names_the_field(
    api: httpx.Client, place: str, value: Any, said: str
) -> None:
    manifest = changed(AUTO, place, value)
    created = api.post(path_of(manifest), params={"dryRun": "All"}, json=manifest)
    assert created.status_code == 201, created.text
    found = to_autoscaler(created.json(), CLASSES)
    assert found.spec is None
    assert said in found.problem


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("docs/operations.md", ADVISORY),
        ("docs/variants.md", VARIANTS),
        ("docs/pools.md", POOLS),
        ("README.md", "gpuautoscaler.yaml"),
    ],
)
def test_the_documents_show_the_examples(page: str, name: str) -> None:
    shown = (EXAMPLES.parents[1] / page).read_text().split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(shown) == OURS[name]
