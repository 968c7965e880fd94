"""NodePools and NodeClaims as Karpenter writes them."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator.cluster.node_pools import (
    GpuNodePool,
    pools_of_type,
    to_ended_claim,
    to_node_claim,
    to_node_pools,
    type_of_pool,
    unknown_pools,
)
from services.operator.cluster.placement import PodShape, to_pod_shape
from tests.unit.operator.pods import gpus, node, shape

GPU = "nvidia.com/gpu"
PRODUCT = "nvidia.com/gpu.product"


def listed(*requirements: dict[str, Any], **given: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": given.get("labels", {})},
        "spec": {"requirements": list(requirements), "taints": given.get("taints", [])},
    }
    spec: dict[str, Any] = {"template": template, "limits": given.get("limits", {GPU: "64"})}
    if "replicas" in given:
        spec["replicas"] = given["replicas"]
    used = given.get("used", {GPU: "16"})
    status = {"resources": used, "conditions": given.get("conditions", [])}
    metadata: dict[str, Any] = {"name": "hopper"}
    if given.get("is_leaving"):
        metadata["deletionTimestamp"] = "2026-01-05T00:00:00Z"
    return {"metadata": metadata, "spec": spec, "status": status}


def wants(key: str, *values: str, operator: str = "In") -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


H100 = wants(PRODUCT, "NVIDIA-H100-80GB-HBM3")


def pool(*requirements: dict[str, Any], **given: Any) -> GpuNodePool:
    (found,) = to_node_pools(listed(*requirements, **given)) or ()
    return found


def test_a_pool_has_a_limit_what_is_used_and_its_gpus() -> None:
    found = pool(H100, wants("karpenter.k8s.aws/instance-gpu-count", "8"))
    assert (found.limit, found.used, found.gpus_per_node) == (64, 16, 8)
    several = pool(H100, wants("karpenter.k8s.aws/instance-gpu-count", "4", "8", "odd", "2"))
    assert (several.gpus_per_node, several.smaller) == (8, (4, 2))
    assert found.products == ("NVIDIA-H100-80GB-HBM3",)
    assert pool(limits={"cpu": "1000"}).limit is None
    assert pool(limits={GPU: "1k"}).limit == 1000


@pytest.mark.parametrize(
    ("written", "limit", "unread"),
    [("6.4e1", 64, ""), ("64000m", 64, ""), ("-1", 0, ""), ("64 GPUs", None, "64 GPUs")],
)
def test_a_limit_is_a_quantity(written: str, limit: int | None, unread: str) -> None:
    (found,) = to_node_pools(listed(H100, limits={GPU: written}, used={})) or ()
    assert (found.limit, found.unread) == (limit, unread)
    assert found.may_have_any == bool(limit or unread)
    (without,) = to_node_pools(listed(H100, limits={GPU: None})) or ()
    assert (without.limit, without.unread) == (None, "")


def test_a_pool_that_is_leaving_or_of_a_fixed_size_adds_no_nodes() -> None:
    assert to_node_pools(listed(H100, is_leaving=True)) is None
    assert to_node_pools(listed(H100, replicas=3)) is None


def test_a_pool_that_is_not_ready_says_why() -> None:
    condition = {"type": "Ready", "status": "False", "message": "NodeClass not found"}
    assert pool(H100, conditions=[condition]).problem == "NodeClass not found"
    assert pool(H100, conditions=[{"type": "Ready", "status": "True"}]).problem == ""


@pytest.mark.parametrize(
    ("requirement", "gpu_type"),
    [
        (H100, "H100"),
        (wants("karpenter.k8s.aws/instance-gpu-name", "l40s"), "L40S"),
        (wants("cloud.google.com/gke-accelerator", "nvidia-h100-80gb"), "H100"),
    ],
)
def test_requirements_tell_the_type(requirement: dict[str, Any], gpu_type: str) -> None:
    assert [p.name for p in pools_of_type([pool(requirement)], gpu_type, [])[0]] == ["hopper"]
    assert pools_of_type([pool(requirement)], "B200", []) == ([], [])


def test_a_label_of_the_template_tells_it_too() -> None:
    assert pool(labels={PRODUCT: "H100"}).products == ("H100",)


def test_nodes_tell_the_type_of_a_pool_that_does_not() -> None:
    own = node("n", 8, labels={"karpenter.sh/nodepool": "hopper"})
    assert type_of_pool(pool(), [own, node("m", 8, product="L4")]) == ("NVIDIA-H100-80GB-HBM3",)
    assert type_of_pool(pool(), []) == ()


def test_a_pool_of_several_types_is_of_none_alone() -> None:
    both = pool(wants(PRODUCT, "H100", "A100"))
    assert pools_of_type([both], "H100", []) == ([], [both])


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ({}, True),
        ({PRODUCT: "H100"}, True),
        ({PRODUCT: "A100"}, False),
        ({"topology.kubernetes.io/zone": "b"}, True),
        ({"topology.kubernetes.io/zone": "c"}, False),
        ({"kubernetes.io/arch": "amd64"}, True),
        ({"team": "search"}, False),
        ({"tier": "gold"}, True),
        ({"karpenter.sh/nodepool": "hopper"}, True),
        ({"karpenter.sh/nodepool": "other"}, False),
    ],
)
def test_a_selector_must_be_one_that_a_node_of_the_pool_may_have(
    selector: dict[str, str], fits: bool
) -> None:
    zones = wants("topology.kubernetes.io/zone", "a", "b")
    found = pool(wants(PRODUCT, "H100"), zones, labels={"tier": "gold"})
    selecting = to_pod_shape({"nodeSelector": selector}, is_template=True)
    assert found.takes(selecting) is fits


def test_a_selected_number_must_be_within_what_the_pool_states() -> None:
    found = pool(wants("generation", "5", operator="Gt"))
    for value, fits in (("6", True), ("5", False), ("new", False)):
        selecting = to_pod_shape({"nodeSelector": {"generation": value}}, is_template=True)
        assert found.takes(selecting) is fits


@pytest.mark.parametrize(
    ("requirement", "fits"),
    [
        (wants("topology.kubernetes.io/zone", "b", "c"), True),
        (wants("topology.kubernetes.io/zone", "c"), False),
        (wants("topology.kubernetes.io/zone", "a", operator="NotIn"), True),
        (wants("topology.kubernetes.io/zone", "a", "b", operator="NotIn"), False),
        (wants("tier", "gold", operator="NotIn"), False),
        (wants("team", operator="Exists"), False),
        (wants("tier", operator="Exists"), True),
        (wants("kubernetes.io/arch", operator="Exists"), True),
        (wants("team", operator="DoesNotExist"), True),
        (wants("tier", operator="DoesNotExist"), False),
        (wants("tier", "1", operator="Gt"), False),
        (wants("karpenter.k8s.aws/instance-gpu-count", "4", operator="Gt"), True),
        (wants("karpenter.k8s.aws/instance-gpu-count", "8", operator="Gt"), False),
        (wants("karpenter.k8s.aws/instance-gpu-count", "8", operator="Lt"), True),
        (wants("karpenter.k8s.aws/instance-gpu-count", "4", operator="Lt"), False),
        (wants("karpenter.k8s.aws/instance-gpu-memory", "70000", operator="Gt"), True),
        (wants("team-size", "3", operator="Gt"), False),
        (wants("generation", "6", operator="Gt"), True),
    ],
)
def test_required_affinity_likewise(requirement: dict[str, Any], fits: bool) -> None:
    zones = wants("topology.kubernetes.io/zone", "a", "b")
    counts = wants("karpenter.k8s.aws/instance-gpu-count", "4", "8")
    generation = wants("generation", "5", operator="Gt")
    found = pool(zones, counts, generation, labels={"tier": "gold"})
    term = {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}
    assert found.takes(to_pod_shape({"affinity": affinity}, is_template=True)) is fits


@pytest.mark.parametrize(
    ("term", "fits"),
    [
        ({}, False),
        ({"matchFields": [wants("metadata.name", "old-node")]}, False),
        ({"matchFields": [wants("metadata.name", "old-node", operator="NotIn")]}, True),
    ],
)
def test_no_new_node_has_the_name_of_one_that_is_there(term: dict[str, Any], fits: bool) -> None:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    wanting = to_pod_shape({"affinity": {"nodeAffinity": required}}, is_template=True)
    assert pool().takes(wanting) is fits


def test_taints_of_a_pool_keep_pods_away() -> None:
    taints = [
        {"key": "team", "value": "a", "effect": "NoSchedule"},
        {"key": "soft", "effect": "PreferNoSchedule"},
    ]
    found = pool(taints=taints)
    assert not found.takes(shape(1))
    tolerations = [{"key": "team", "operator": "Exists"}]
    assert found.takes(to_pod_shape({"tolerations": tolerations}, is_template=True))


def claim(*conditions: dict[str, str], pool: str = "hopper") -> dict[str, Any]:
    labels = {"karpenter.sh/nodepool": pool} if pool else {}
    metadata = {"name": "c1", "labels": labels, "creationTimestamp": "2026-01-05T00:00:00Z"}
    return {"metadata": metadata, "status": {"conditions": list(conditions)}}


def launched(status: str, reason: str = "", **more: str) -> dict[str, str]:
    return {"type": "Launched", "status": status, "reason": reason, **more}


def test_a_claim_that_was_not_launched_is_a_refusal_with_its_reason() -> None:
    at = "2026-01-05T00:01:00Z"
    refused = launched("False", "InsufficientCapacity", message="no H100", lastTransitionTime=at)
    found = to_node_claim(claim(refused))
    assert found is not None
    assert found.refused is not None
    assert found.refused.why == ("NodeClaim/c1 was not launched (InsufficientCapacity: no H100)")
    assert f"{found.refused.at:%H:%M}" == "00:01"


@pytest.mark.parametrize(
    ("condition", "is_refused"),
    [
        (launched("True", "Launched"), False),
        (launched("Unknown", "AwaitingReconciliation"), False),
        (launched("Unknown", "LaunchFailed"), True),
        (launched("False"), True),
    ],
)
def test_a_claim_that_is_on_its_way_is_none(condition: dict[str, str], is_refused: bool) -> None:
    found = to_node_claim(claim(condition))
    assert found is not None
    assert (found.refused is not None) is is_refused


def test_a_claim_tells_when_its_provider_gave_the_node() -> None:
    at = "2026-01-05T00:01:00Z"
    told = to_node_claim(claim(launched("True", "Launched", lastTransitionTime=at)))
    assert told is not None
    assert f"{told.launched_at:%H:%M}" == "00:01"
    for condition in (launched("Unknown", "AwaitingReconciliation"), launched("False")):
        found = to_node_claim(claim(condition))
        assert found is not None
        assert found.launched_at is None


def test_a_claim_of_no_pool_does_not_count() -> None:
    assert to_node_claim(claim(pool="")) is None


AMD = wants("amd.com/gpu.product-name", "AMD_Instinct_MI300X_OAM")


def test_a_pool_is_of_the_resource_that_it_limits() -> None:
    found = pool(AMD, limits={"cpu": "1k", "amd.com/gpu": "32"})
    assert (found.resource, found.limit, found.used) == ("amd.com/gpu", 32, 0)
    assert pools_of_type([found], "MI300X", []) == ([found], [])
    assert found.takes(shape(8, "amd.com/gpu"))
    assert not found.takes(shape(8)), "its pods ask for another resource"


def test_a_pool_without_a_limit_is_of_what_its_labels_tell() -> None:
    template = {"metadata": {"name": "p"}, "spec": {"template": {"spec": {"requirements": [AMD]}}}}
    (found,) = to_node_pools(template) or ()
    assert (found.resource, found.limit) == ("amd.com/gpu", None)


def test_a_pool_whose_labels_tell_nothing_is_of_its_resources_name() -> None:
    found = pool(limits={"habana.ai/gaudi": "16"})
    assert pools_of_type([found], "gaudi", []) == ([found], [])
    assert pools_of_type([found], "H100", []) == ([], [])
    assert pools_of_type([pool()], "H100", []) == ([], []), "nothing tells which GPUs it has"


def test_a_pool_of_several_resources_is_one_for_each() -> None:
    limits = {GPU: "8", "nvidia.com/mig-1g.5gb": "56"}
    a100 = wants(PRODUCT, "NVIDIA-A100-SXM4-40GB")
    found = to_node_pools(listed(a100, limits=limits)) or ()
    assert [(each.resource, each.limit, each.used) for each in found] == [
        (GPU, 8, 16),
        ("nvidia.com/mig-1g.5gb", 56, 0),
    ]
    for gpu_type, resource in (("A100", GPU), ("A100-MIG-1g.5gb", "nvidia.com/mig-1g.5gb")):
        own, mixed = pools_of_type(found, gpu_type, [])
        assert ([each.resource for each in own], mixed) == ([resource], [])


def test_how_a_pools_nodes_are_sliced_its_nodes_tell() -> None:
    """A requirement names the card: with MIG's single strategy it would be taken for whole GPUs."""
    labels = {"karpenter.sh/nodepool": "hopper"}
    own = node("n", 56, product="NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", labels=labels)
    found = pool(wants("karpenter.k8s.aws/instance-gpu-name", "a100"))
    assert pools_of_type([found], "A100", []) == ([found], [])
    assert pools_of_type([found], "A100", [own]) == ([], [])
    assert pools_of_type([found], "A100-MIG-1g.5gb", [own]) == ([found], [])


def test_accelerators_that_are_no_gpus_are_counted_by_a_label_of_their_own() -> None:
    name = wants("karpenter.k8s.aws/instance-accelerator-name", "trainium")
    count = wants("karpenter.k8s.aws/instance-accelerator-count", "16")
    found = pool(name, count, limits={"aws.amazon.com/neuron": "64"})
    assert (found.products, found.gpus_per_node) == (("trainium",), 16)


def ending(born: str = "2026-01-05T00:00:00Z", **given: Any) -> dict[str, Any]:
    """A claim of node `n1` that is being deleted at noon."""
    found = claim(*given.get("conditions", ()))
    found["metadata"] |= {"creationTimestamp": born, "deletionTimestamp": "2026-01-05T12:00:00Z"}
    found["status"]["nodeName"] = "n1"
    return {**found, "spec": {"expireAfter": given.get("expire_after", "720h")}}


@pytest.mark.parametrize(
    ("given", "is_meant"),
    [
        ({}, False),
        ({"expire_after": "Never"}, False),
        ({"expire_after": "12h"}, True),
        ({"born": "2025-12-01T00:00:00Z"}, True),
        ({"conditions": [{"type": "DisruptionReason", "status": "True"}]}, True),
        ({"conditions": [{"type": "DisruptionReason", "status": "False"}]}, False),
    ],
)
def test_a_claim_that_ends_is_meant_to_or_interrupted(
    given: dict[str, Any], is_meant: bool
) -> None:
    found = to_node_claim(ending(**given))
    assert found is not None
    assert (found.node, found.is_ending, found.is_meant) == ("n1", True, is_meant)


def test_a_claim_that_stays_is_not_ending() -> None:
    found = to_node_claim(claim(launched("True")))
    assert found is not None
    assert (found.node, found.is_ending, found.is_meant) == ("", False, False)


@pytest.mark.parametrize(
    "key",
    [
        "eks.amazonaws.com/instance-gpu-name",
        "karpenter.azure.com/sku-gpu-name",
        "kubernetes.azure.com/scalesetpriority",
        "topology.k8s.aws/zone-id",
        "karpenter.k8s.aws/instance-gpu-name",
    ],
)
def test_a_node_may_have_any_label_of_its_provider(key: str) -> None:
    found = pool(limits={"nvidia.com/gpu": "8"})
    assert found.takes(PodShape(gpus(8), selector=((key, "x"),)))


@pytest.mark.parametrize("domain", ["karpenter.k8s.aws/instance", "eks.amazonaws.com/instance"])
def test_how_many_gpus_a_node_has_its_provider_tells(domain: str) -> None:
    found = pool(wants(f"{domain}-gpu-name", "h100"), wants(f"{domain}-gpu-count", "4"))
    assert (found.products, found.gpus_per_node) == (("h100",), 4)


@pytest.mark.parametrize(
    ("requirement", "limits", "is_named"),
    [
        (wants("node.kubernetes.io/instance-type", "p5.48xlarge"), {}, True),
        (wants("karpenter.k8s.aws/instance-family", "p5"), {"cpu": "100"}, True),
        (wants("karpenter.azure.com/sku-family", "N"), {}, True),
        (wants("karpenter.sh/capacity-type", "spot"), {"nvidia.com/gpu": "64"}, True),
        (wants("karpenter.k8s.aws/instance-category", "c", "m"), {"cpu": "100"}, False),
        (wants("node.kubernetes.io/instance-type", "c7i.large"), {"nvidia.com/gpu": "0"}, False),
        (wants("nvidia.com/gpu.product", "H100"), {"nvidia.com/gpu": "64"}, False),
        (wants("karpenter.sh/capacity-type", "spot"), {"habana.ai/gaudi": "64"}, False),
    ],
)
def test_pools_that_may_have_gpus_of_an_unknown_product(
    requirement: dict[str, Any], limits: dict[str, str], is_named: bool
) -> None:
    found = pool(requirement, limits=limits, used={})
    assert unknown_pools([found], []) == ([found] if is_named else [])
    told = node("n", 8, labels={"karpenter.sh/nodepool": "hopper"})
    assert unknown_pools([found], [told]) == []


def gone(*conditions: dict[str, str], **status: Any) -> dict[str, Any]:
    found = claim(*conditions)
    own = {"uid": "u1", "deletionTimestamp": "2026-01-05T00:02:00Z"}
    return {"metadata": found["metadata"] | own, "status": found["status"] | status}


def test_a_claim_that_is_being_deleted_tells_whether_it_was_launched() -> None:
    """Karpenter's own: `Launched` is still awaited when a claim goes for want of capacity."""
    assert to_ended_claim(claim(launched("True"))) is None
    awaited = launched("Unknown", "AwaitingReconciliation")
    for resource in (gone(), gone(awaited)):
        found = to_ended_claim(resource)
        assert found is not None
        assert (found.uid, found.name, found.pool) == ("u1", "c1", "hopper")
        assert (found.is_launched, found.why) == (False, "")
        assert f"{found.ended_at:%H:%M}" == "00:02"
    for resource in (gone(launched("True")), gone(awaited, providerID="aws:///i-1")):
        found = to_ended_claim(resource)
        assert found is not None
        assert found.is_launched


def test_a_claim_whose_launch_failed_says_why_when_it_goes() -> None:
    found = to_ended_claim(gone(launched("Unknown", "LaunchFailed", message="no such subnet")))
    assert found is not None
    assert found.why == "NodeClaim/c1 was not launched (LaunchFailed: no such subnet)"


def test_of_a_claim_of_no_pool_nothing_is_told() -> None:
    resource = gone()
    assert to_ended_claim(resource | {"metadata": resource["metadata"] | {"labels": {}}}) is None
