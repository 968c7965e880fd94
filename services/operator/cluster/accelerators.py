"""Accelerators as device plugins offer them: by resource name, with the label of their product.

| resource | product by | source |
|---|---|---|
| `nvidia.com/gpu` | `nvidia.com/gpu.product` | NVIDIA/k8s-device-plugin, README and docs/gpu-feature-discovery |
| `nvidia.com/gpu.shared` | the same: the label is not changed | the same README, `renameByDefault` |
| `nvidia.com/mig-PROFILE` | `nvidia.com/mig-PROFILE.product`, else the card's label and the profile | the same, MIG strategy `mixed`; internal/lm/resource.go |
| `amd.com/gpu` | `amd.com/gpu.product-name`, earlier `beta.amd.com/gpu.product-name` | ROCm/k8s-device-plugin, cmd/k8s-node-labeller |
| `gpu.intel.com/i915`, `gpu.intel.com/xe` | `gpu.intel.com/product` | intel/intel-device-plugins-for-kubernetes, cmd/gpu_plugin: README.md, labels.md |
| `habana.ai/gaudi` | none | docs.habana.ai, Intel Gaudi Device Plugin for Kubernetes |
| `google.com/tpu` | `cloud.google.com/gke-tpu-accelerator` | docs.cloud.google.com, TPUs in GKE |
| `aws.amazon.com/neuron` | `karpenter.k8s.aws/instance-accelerator-name` | awsdocs-neuron.readthedocs-hosted.com, Neuron device plugin; karpenter.sh, upgrade guide |

Behind these, what the provider of nodes says counts, of a node as of a pool that nodes come from:

| label | source |
|---|---|
| `karpenter.k8s.aws/instance-gpu-name`, `…/instance-gpu-count`, `…/instance-accelerator-count` | karpenter.sh, reference of instance types |
| `eks.amazonaws.com/instance-gpu-name`, `…/instance-gpu-count` | docs.aws.amazon.com, EKS Auto Mode, create a node pool |
| `karpenter.azure.com/sku-gpu-name`, `…/sku-gpu-count` | learn.microsoft.com, AKS node auto-provisioning |
| `cloud.google.com/gke-accelerator`, with `gke-gpu-partition-size` or `gke-gpu-sharing-strategy` where cards are sliced | docs.cloud.google.com, GPUs in GKE |

`kubernetes.azure.com/accelerator` names the vendor alone (`nvidia`). All functions are pure.
"""  # noqa: E501 - a table has its rows on one line

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from services.operator.resource.quantities import parse_quantity

Object = Mapping[str, Any]

NVIDIA_GPU = "nvidia.com/gpu"
_MIG = re.compile(r"nvidia\.com/mig-(?P<profile>[\w.+-]+?)(?:\.shared)?")
_WHOLE = re.compile(r"[0-9]{1,19}")
_MOST = 10**9
_SHARED = ".shared"
_AWS = "karpenter.k8s.aws"
_GKE = "cloud.google.com"


@dataclass(frozen=True, slots=True)
class DevicePlugin:
    """One way in which nodes offer accelerators.

    Attributes:
        resource: Its name in capacities, requests, limits and quotas.
        own_labels: Labels that name the product, as what belongs to the plugin sets them.
        provider_labels: The same of providers of nodes.
        count_labels: Labels by which a pool of Karpenter tells how many a node has.
    """

    resource: str
    own_labels: tuple[str, ...] = ()
    provider_labels: tuple[str, ...] = ()
    count_labels: tuple[str, ...] = ()

    @property
    def product_labels(self) -> tuple[str, ...]:
        """Labels that name the product, of a node or a pool of nodes; the first that is there."""
        return self.own_labels + self.provider_labels


_ON_AWS = (f"{_AWS}/instance-gpu-name", "eks.amazonaws.com/instance-gpu-name")
_ON_AZURE = ("karpenter.azure.com/sku-gpu-name",)
_ON_GKE = f"{_GKE}/gke-accelerator"
_COUNT_ON_AWS = (f"{_AWS}/instance-gpu-count", "eks.amazonaws.com/instance-gpu-count")
_COUNTS = (*_COUNT_ON_AWS, "karpenter.azure.com/sku-gpu-count")
_INTEL = ("gpu.intel.com/product",)
_AMD = ("amd.com/gpu.product-name", "beta.amd.com/gpu.product-name")
PLUGINS = (
    DevicePlugin(
        NVIDIA_GPU,
        ("nvidia.com/gpu.product",),
        (*_ON_AWS, *_ON_AZURE, _ON_GKE),
        _COUNTS,
    ),
    DevicePlugin("amd.com/gpu", _AMD, (*_ON_AWS, *_ON_AZURE), _COUNTS),
    DevicePlugin("gpu.intel.com/i915", _INTEL),
    DevicePlugin("gpu.intel.com/xe", _INTEL),
    DevicePlugin("habana.ai/gaudi", (), _ON_AWS, _COUNT_ON_AWS),
    DevicePlugin("google.com/tpu", ("cloud.google.com/gke-tpu-accelerator",)),
    DevicePlugin(
        "aws.amazon.com/neuron",
        (f"{_AWS}/instance-accelerator-name",),
        (),
        (f"{_AWS}/instance-accelerator-count",),
    ),
)
_BY_RESOURCE = {plugin.resource: plugin for plugin in PLUGINS}


@dataclass(frozen=True, slots=True)
class Accelerators:
    """Accelerators of one resource: of a node, or as a pod asks for them.

    Attributes:
        resource: Name of the resource.
        product: As its labels name it, with the profile of a slice; empty: they name none.
        count: How many.
    """

    resource: str
    product: str
    count: int


@lru_cache(256)
def plugin_of(resource: str) -> DevicePlugin | None:
    """What offers a resource; None: it is no accelerator that is known.

    Slices of an NVIDIA GPU are told by labels of their own, or else by those of the card. How many
    of them a node has no pool tells.
    """
    known = _BY_RESOURCE.get(resource)
    if known is not None:
        return known
    whole_gpu = _BY_RESOURCE[NVIDIA_GPU]
    if _MIG.fullmatch(resource):
        own = f"{resource.removesuffix(_SHARED)}.product"
        return DevicePlugin(resource, (own, *whole_gpu.own_labels), whole_gpu.provider_labels)
    if resource == NVIDIA_GPU + _SHARED:
        return DevicePlugin(resource, whole_gpu.own_labels, whole_gpu.provider_labels)
    return None


def product_of(resource: str, labels: Mapping[str, str]) -> str:
    """The product of a resource on a node with these labels; empty: they name none.

    A slice has its profile, and `SHARED` where it is shared, behind the card's name, as NVIDIA
    writes it for nodes where all GPUs are sliced alike: `NVIDIA-A100-SXM4-40GB-MIG-1g.5gb`.
    """
    plugin = plugin_of(resource)
    names = () if plugin is None else plugin.product_labels
    name = next((each for each in names if labels.get(each)), "")
    card = str(labels.get(name, ""))
    return sliced(resource, _on_gke(card, labels) if name == _ON_GKE else card)


def _on_gke(card: str, labels: Mapping[str, str]) -> str:
    """The product of nodes whose pool on GKE slices its cards: labels of their own say how."""
    profile = labels.get(f"{_GKE}/gke-gpu-partition-size")
    is_shared = bool(labels.get(f"{_GKE}/gke-gpu-sharing-strategy"))
    parts = (card, f"MIG-{profile}" if profile else "", "SHARED" if is_shared else "")
    return "-".join(filter(None, parts))


def sliced(resource: str, card: str) -> str:
    """The product of a resource on a card; that of a whole GPU is the card's own name."""
    found = _MIG.fullmatch(resource)
    is_shared = resource.endswith(_SHARED)
    if found is not None and "-MIG-" not in card:
        card = card.removesuffix("-SHARED")
        card = "-".join(filter(None, (card, "MIG", found["profile"])))
    return f"{card}-SHARED" if card and is_shared and not card.endswith("-SHARED") else card


def offered(amounts: Mapping[str, Any], labels: Mapping[str, str]) -> tuple[Accelerators, ...]:
    """Accelerators of a node with these allocatable amounts and labels, each resource apart."""
    return tuple(
        Accelerators(sys.intern(resource), sys.intern(product_of(resource, labels)), count)
        for resource, count in counts_of(amounts)
    )


def asked_by(spec: Object) -> tuple[Accelerators, ...]:
    """Accelerators that a pod specification asks for, each resource apart.

    A pod holds what its containers ask for together, or more where an init container asks for more:
    these run one after the other, beside those before them that are started again when they end.
    The product is as its node selector names it.
    """
    selector = spec.get("nodeSelector") or {}
    return _shared(
        tuple(Accelerators(each, _selected(each, selector), n) for each, n in _asked(spec).items())
    )


def _asked(spec: Object) -> Mapping[str, int]:
    """Counts of a pod specification by resource."""
    first, containers = spec.get("initContainers") or [], spec.get("containers") or []
    if not first and len(containers) == 1:  # as most pods are
        return _limits_of(containers[0])
    beside, most = Counter[str](), Counter[str]()
    for container in first:
        counts = Counter(_limits_of(container))
        most |= beside + counts
        if container.get("restartPolicy") == "Always":
            beside += counts
    together = beside
    for container in containers:
        together += Counter(_limits_of(container))
    return together | most


def _limits_of(container: Object) -> dict[str, int]:
    return dict(counts_of((container.get("resources") or {}).get("limits") or {}))


def _selected(resource: str, selector: Mapping[str, str]) -> str:
    """The product that pods select; a slice whose card is not selected may be on any card."""
    plugin = plugin_of(resource)
    names = () if plugin is None else plugin.product_labels
    return product_of(resource, selector) if any(selector.get(name) for name in names) else ""


@lru_cache(4096)
def _shared(asked: tuple[Accelerators, ...]) -> tuple[Accelerators, ...]:
    """Equal amounts of many pods are one value."""
    return asked


def counts_of(amounts: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The accelerators among amounts of resources, those of zero left out."""
    known = ((name, whole(amount)) for name, amount in amounts.items() if plugin_of(str(name)))
    return [(str(name), count) for name, count in known if count]


def total(asked: Iterable[Accelerators]) -> int:
    """All of them, whatever their resource."""
    return sum(each.count for each in asked)


def whole(amount: object) -> int | None:
    """What is whole of a quantity such as `8`, `1k` or `6.4e1`; None: there is none.

    Anybody may ask for any number: more than a billion count as so many, and sums stay small. Fewer
    than none are none.
    """
    text = "" if amount is None else str(amount)
    if _WHOLE.fullmatch(text):  # as almost all are
        return min(int(text), _MOST)
    try:
        quantity = parse_quantity(text)
    except ValueError:
        return None
    return int(max(Decimal(0), min(quantity, Decimal(_MOST))))
