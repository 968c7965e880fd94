"""Specs as they are stored, read once in each process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from services.kernel.domain.parts import PartSpec
from services.kernel.domain.pools import PoolSpec
from services.kernel.domain.variants import VariantSpec
from services.kernel.domain.workload import WorkloadSpec

MOST_KEPT = 16_384
"""Specs that a process keeps, some 5 KB each; the one asked for longest ago goes first."""


@lru_cache(maxsize=MOST_KEPT)
def read_spec(stored: str) -> WorkloadSpec:
    """A spec from its JSON text (`spec::text`), checked when the text is first met.

    The text itself is the key: whatever changes a spec changes it, in whichever database it stands.
    """
    return known_spec(orjson.loads(stored))


def known_spec(stored: object) -> WorkloadSpec:
    """A spec from the JSON of its row, as far as this release knows it.

    Who writes a row is of a later release while an upgrade is under way, or after one was taken
    back: fields that this release does not know are left out, with what they ask for.
    """
    return WorkloadSpec.model_validate(stored, extra="ignore")


@dataclass(frozen=True, slots=True)
class StoredTarget:
    """What a stored spec says of one of its targets.

    Attributes:
        name: The variant or pool; empty: the workload has one target.
        target: `Kind/name`.
        min_replicas: Its minimum; schedules are left out.
        max_replicas: Its maximum, or that of the workload.
    """

    name: str
    target: str
    gpu_type: str
    gpus_per_replica: int
    min_replicas: int
    max_replicas: int


def stored_targets(stored: object) -> tuple[StoredTarget, ...]:
    """Targets of a stored spec, also of one that cannot be read as a whole.

    Somebody may have changed its row by hand, and yet its targets hold GPUs. A field that makes no
    sense counts as one that is left out; a part without a name, or of no GPU type, is none.
    """
    spec: Mapping[str, Any] = stored if isinstance(stored, Mapping) else {}
    for field, model in (("variants", VariantSpec), ("pools", PoolSpec)):
        parts = spec.get(field)
        if isinstance(parts, list) and parts:
            most = _count(spec, WorkloadSpec, "max_replicas")
            found = [_target(part, model, most) for part in parts if isinstance(part, Mapping)]
            return tuple(each for each in found if each is not None and each.name)
    whole = _target(spec, WorkloadSpec, 0)
    return () if whole is None else (whole,)


def _target(
    given: Mapping[str, Any], model: type[PartSpec] | type[WorkloadSpec], most: int
) -> StoredTarget | None:
    fields = model.model_fields
    gpu_type = given.get("gpu_type", fields["gpu_type"].default)
    name, target = given.get("name", ""), given.get("target")
    if not all(isinstance(each, str) for each in (name, target, gpu_type)):
        return None
    return StoredTarget(
        "" if model is WorkloadSpec else name,
        str(target),
        gpu_type,
        max(1, _count(given, model, "gpus_per_replica")),
        _count(given, model, "min_replicas"),
        _count(given, model, "max_replicas") or most,
    )


def _count(given: Mapping[str, Any], model: type[PartSpec] | type[WorkloadSpec], name: str) -> int:
    """A count as it is stored, or what stands for one that is left out."""
    value = given.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return int(model.model_fields[name].default or 0)
