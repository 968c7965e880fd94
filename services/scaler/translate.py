"""Rows -> facts, and the metadata of a KEDA trigger -> `Trigger`, pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import Any

from sqlalchemy import RowMapping

from services.kernel.domain import WorkloadSpec
from services.kernel.errors import InvalidInput
from services.scaler.plan import Approved, Newest, ObservedTarget, WorkloadFacts

AUTOSCALER = "autoscaler"
WORKLOAD = "workload"
TOLERANCE = "hpaTolerance"
PART = "part"
Key = tuple[str, str]
"""Namespace and name of a workload."""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")
_SHARE = re.compile(r"0(\.\d{1,6})?|1(\.0{1,6})?")


@dataclass(frozen=True, slots=True)
class Trigger:
    """The trigger of a ScaledObject: the workload, and how counts are rounded for its HPA.

    Attributes:
        tolerance: Tolerance of its HPA; 0: every change is seen.
        part: The variant or pool whose target it scales; empty: the workload has one target.
    """

    key: Key
    tolerance: Fraction = Fraction(0)
    part: str = ""


def to_trigger(namespace: str, metadata: Mapping[str, str]) -> Trigger:
    """Read the metadata of a trigger.

    Args:
        namespace: Of the ScaledObject.
        metadata: The trigger's; keys of KEDA's own are left alone.

    Raises:
        InvalidInput: A key is missing or has a value that cannot be used.
    """
    workload, autoscaler = metadata.get(WORKLOAD, ""), metadata.get(AUTOSCALER, "")
    if bool(workload) == bool(autoscaler):
        given = "both are given" if workload else "neither is given"
        raise InvalidInput(
            f"metadata of the trigger needs {AUTOSCALER} (name of a GPUAutoscaler in the "
            f"ScaledObject's namespace) or {WORKLOAD} (namespace/name): {given}"
        )
    if workload:
        place, _, name = workload.partition("/")
        key, written = (place, name), f"metadata.{WORKLOAD}={workload!r}"
    else:
        key, written = (
            (namespace, autoscaler),
            f"namespace={namespace!r}, {AUTOSCALER}={autoscaler!r}",
        )
    if not all(_NAME.fullmatch(part) for part in key):
        raise InvalidInput(f"{written} must be the namespace and the name of a GPUAutoscaler")
    return Trigger(key, _tolerance(metadata.get(TOLERANCE, "0")), metadata.get(PART, ""))


def _tolerance(text: str) -> Fraction:
    if not _SHARE.fullmatch(text):
        raise InvalidInput(
            f'metadata.{TOLERANCE}={text!r} must be the HPA\'s tolerance, from "0" to "1", e.g. '
            '"0.1", the default of Kubernetes'
        )
    return Fraction(text)


def to_facts(row: RowMapping, spec: WorkloadSpec, ttl_steps: int) -> WorkloadFacts:
    """Facts from a row of the repository.

    Args:
        row: Of the workload, its newest decision, action and replica state.
        spec: Its spec.
        ttl_steps: Steps for which an observation of the target, or an approval, is valid.
    """
    good = timedelta(seconds=row["step_s"] * ttl_steps)
    names = row["namespace"], row["name"]
    seen, approved = _seen(row, good), _approved(row, good)
    return WorkloadFacts(
        *names, spec, _newest(row), seen, approved, row["cluster"], _looked_at(row)
    )


def _newest(row: RowMapping) -> Newest | None:
    if row["decision_id"] is None:
        return None
    return Newest(
        row["decision_id"],
        row["desired_replicas"],
        row["valid_until"],
        row["result"] or "",
        row["result_reason"] or "",
        _desired(row["decided_parts"]),
        _ratios(row["decided_parts"]),
    )


def _looked_at(row: RowMapping) -> Newest | None:
    if row["looked_at_id"] is None:
        return None
    return Newest(
        row["looked_at_id"],
        row["looked_at_replicas"],
        row["looked_at_until"],
        row["looked_at_result"],
        parts=_desired(row["looked_at_parts"]),
    )


def _desired(parts: Sequence[Mapping[str, Any]] | None) -> dict[str, int]:
    return {each["name"]: int(each["desired"]) for each in parts or ()}


def _ratios(parts: Sequence[Mapping[str, Any]] | None) -> dict[str, float]:
    learned = (each for each in parts or () if "capacity_ratio" in each)
    return {each["name"]: float(each["capacity_ratio"]) for each in learned}


def _seen(row: RowMapping, good: timedelta) -> ObservedTarget | None:
    if row["observed_at"] is None:
        return None
    parts = {name: int(own["spec"]) for name, own in (row["seen_parts"] or {}).items()}
    until = row["observed_at"] + good
    return ObservedTarget(row["spec_replicas"], row["observed_at"], until, parts)


def _approved(row: RowMapping, good: timedelta) -> Approved | None:
    if row["approved_id"] is None or row["approved_replicas"] is None:
        return None
    parts = {each["name"]: int(each["to"]) for each in row["approved_parts"] or ()}
    until = row["approved_at"] + good
    return Approved(row["approved_id"], row["approved_replicas"], until, parts)
