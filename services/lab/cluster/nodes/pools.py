"""Pools that nodes are added from, as NodePools and node groups state them.

What a real provider decides is stated by annotations of a NodePool: how many GPUs a node has, how
long it takes to come, and how many of them the provider has at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.lab.cluster.controllers.devices import product_label, resource_of
from services.lab.cluster.controllers.manifests import parse_duration
from services.lab.cluster.storage.resources import Obj
from services.simulator.engine.engine import ANY_GPU_TYPE, NodeSpec, StartupSpec
from services.simulator.engine.needs import GPU, NodeLabel, to_taints

POOL_LABEL = "karpenter.sh/nodepool"
GPUS_ANNOTATION = "lab.harmony.dev/node-gpus"
MEDIAN_ANNOTATION = "lab.harmony.dev/node-startup-median"
SIGMA_ANNOTATION = "lab.harmony.dev/node-startup-sigma"
CAPACITY_ANNOTATION = "lab.harmony.dev/node-capacity"
PRODUCT_ANNOTATION = "lab.harmony.dev/node-product"
"""Product by which nodes are labelled when they are there, where the pool does not state it."""
INTERRUPTIONS_ANNOTATION = "lab.harmony.dev/node-interruptions"
"""Interruptions of a node in an hour: it has an exponential life, told two minutes ahead."""
_DEFAULT_GPUS = 8
_DEFAULT_MEDIAN = "2m"
_NEVER = "Never"


@dataclass(frozen=True, slots=True)
class NodePoolSpec:
    """One pool.

    Attributes:
        node: A node of it, without a name.
        most_nodes: Nodes that it may have; None: no limit.
        startup: Time that a node takes to come.
        capacity: Nodes that its provider has; None: as many as are asked for.
        empty_after_s: A node without pods goes after so long; None: never.
        least_nodes: Nodes that stay all the same.
        interruptions: Interruptions of a node in an hour; 0: none.
    """

    name: str
    node: NodeSpec
    most_nodes: int | None
    startup: StartupSpec
    capacity: int | None = None
    empty_after_s: float | None = 0.0
    least_nodes: int = 0
    interruptions: float = 0.0


def of_node_pool(obj: Obj) -> NodePoolSpec:
    """A pool as a NodePool states it.

    Raises:
        ValueError: An annotation or a quantity cannot be read.
    """
    meta, spec = obj["metadata"], obj["spec"]
    annotations = meta.get("annotations") or {}
    template = spec["template"]
    labels = dict((template.get("metadata") or {}).get("labels") or {})
    for each in template["spec"].get("requirements") or ():
        if each["operator"] == "In" and each.get("values"):
            labels.setdefault(each["key"], each["values"][0])
    labels[POOL_LABEL] = meta["name"]
    gpus = int(annotations.get(GPUS_ANNOTATION, _DEFAULT_GPUS))
    limits = spec.get("limits") or {}
    resource = resource_of(limits)
    product = annotations.get(PRODUCT_ANNOTATION)
    if product is not None:
        labels.setdefault(product_label(resource), product)
    limit = limits.get(resource)
    after = (spec.get("disruption") or {}).get("consolidateAfter", "0s")
    capacity = annotations.get(CAPACITY_ANNOTATION)
    return NodePoolSpec(
        meta["name"],
        _node(labels, gpus, to_taints(template["spec"]), resource),
        None if limit is None else int(limit) // gpus,
        _startup(annotations.get(MEDIAN_ANNOTATION), annotations.get(SIGMA_ANNOTATION)),
        None if capacity is None else int(capacity),
        None if after == _NEVER else parse_duration(after),
        interruptions=float(annotations.get(INTERRUPTIONS_ANNOTATION, 0)),
    )


def of_node_group(name: str, text: str) -> NodePoolSpec:
    """A pool as a node group of the Cluster Autoscaler: JSON with its product, gpus, min and max.

    Raises:
        ValueError: It cannot be read.
    """
    given: dict[str, Any] = orjson.loads(text)
    labels = {product_label(GPU): given["product"], **given.get("labels", {})}
    capacity = given.get("capacity")
    return NodePoolSpec(
        name,
        _node(labels, int(given.get("gpus", _DEFAULT_GPUS)), ()),
        int(given["max"]),
        _startup(given.get("startupMedian"), given.get("startupSigma")),
        None if capacity is None else int(capacity),
        parse_duration(given.get("emptyAfter", "10m")),
        int(given.get("min", 0)),
        float(given.get("interruptions", 0)),
    )


def _node(
    labels: Mapping[str, str], gpus: int, taints: tuple[Any, ...], resource: str = GPU
) -> NodeSpec:
    return NodeSpec(
        "node",
        labels.get(product_label(resource), ANY_GPU_TYPE),
        gpus,
        tuple(NodeLabel(key, value) for key, value in sorted(labels.items())),
        taints,
        resource,
    )


def _startup(median: str | None, sigma: str | None) -> StartupSpec:
    median_s = parse_duration(median or _DEFAULT_MEDIAN)
    return StartupSpec(median_s=median_s, sigma=float(sigma or 0), min_s=min(1.0, median_s))
