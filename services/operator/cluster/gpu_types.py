"""Which accelerators are of a GPU type, as autoscalers and budgets name it; pure.

A type is a product or a part of it: `H100` is `NVIDIA-H100-80GB-HBM3`, `MI300X` is
`AMD_Instinct_MI300X_OAM`. A slice of a GPU is of a type only if the type names the slice too:
`A100-MIG-1g.5gb`, `A100-SHARED`. Where no label names a product, the name of the resource does:
`gaudi` or `habana.ai/gaudi`. The whole name of a resource is all of it, whatever labels name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from services.operator.cluster.accelerators import Accelerators, plugin_of

_MIG, _SHARED = "MIG", "SHARED"
_PROFILE = re.compile(r"(?:\d+C\.)?\d+G\.\d+GB[\w.+]*")


@dataclass(frozen=True, slots=True)
class _Name:
    """A product or a type in parts, in capitals.

    Attributes:
        card: Parts of the card's name.
        profile: Profile of a MIG slice; empty: no slice, or any.
    """

    card: tuple[str, ...]
    is_mig: bool
    profile: str
    is_shared: bool


def is_of_type(accelerators: Accelerators, gpu_type: str) -> bool:
    """True where a node's accelerators are of `gpu_type`."""
    resource, wanted = accelerators.resource.lower(), gpu_type.lower()
    if accelerators.product and wanted != resource:
        return is_product(accelerators.product, gpu_type)
    return wanted in (resource, resource.rpartition("/")[2])


def may_be_both(resource: str, one: str, other: str) -> bool:
    """True where accelerators of a resource may be of two types: one is a part of the other."""
    pairs = ((one, other), (other, one))
    return any(is_of_type(Accelerators(resource, each, 0), wanted) for each, wanted in pairs)


def is_unknown(accelerators: Accelerators) -> bool:
    """True where a label should name the product, and none does."""
    plugin = None if accelerators.product else plugin_of(accelerators.resource)
    return plugin is not None and bool(plugin.own_labels)


@lru_cache(4096)
def is_product(product: str, gpu_type: str) -> bool:
    """True where a product is a GPU of `gpu_type`.

    `NVIDIA-H100-80GB-HBM3` is an `H100`; `NVIDIA-L40S` is no `L4`; `NVIDIA-A100-SXM4-40GB-SHARED`
    is an `A100-SHARED` and no `A100`.
    """
    if not product:
        return False
    have, wanted = _name(product), _name(gpu_type)
    is_same_slice = (have.is_mig, have.is_shared) == (wanted.is_mig, wanted.is_shared)
    if not is_same_slice or wanted.profile not in ("", have.profile):
        return False
    return _has_part(have.card, wanted.card)


@lru_cache(4096)
def is_slice(product: str) -> bool:
    """True where a product is a part of a GPU, or shared with others."""
    found = _name(product)
    return found.is_mig or found.is_shared


def _name(text: str) -> _Name:
    parts = tuple(text.upper().replace("_", "-").split("-"))
    profile = next((part for part in parts if _PROFILE.fullmatch(part)), "")
    of_slice = (_MIG, _SHARED, profile)
    card = tuple(part for part in parts if part not in of_slice)
    return _Name(card, _MIG in parts or bool(profile), profile, _SHARED in parts)


def _has_part(parts: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """True where `wanted` stands in `parts`, one behind the other; nothing stands anywhere."""
    n = len(wanted)
    return any(parts[i : i + n] == wanted for i in range(len(parts) - n + 1))
