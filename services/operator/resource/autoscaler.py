"""A `GPUAutoscaler` after it was read: values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.kernel.domain import PartSpec, WorkloadSpec
from services.operator.resource.fields import GROUP

PAUSED = f"{GROUP}/paused"
PAUSED_UNTIL = f"{GROUP}/paused-until"
PAUSED_SCALE_IN = f"{GROUP}/paused-scale-in"
PAUSED_SCALE_OUT = f"{GROUP}/paused-scale-out"
APPROVED_DECISION = f"{GROUP}/approved-decision"
APPROVED_BY = f"{GROUP}/approved-by"
REJECTED_DECISION = f"{GROUP}/rejected-decision"
REJECTED_BY = f"{GROUP}/rejected-by"
KIND_LABEL = f"{GROUP}/kind"

Key = tuple[str, str]
"""Namespace and name."""
TargetKey = tuple[str, str, str, str]
"""API group, kind, namespace and name: versions of a group hold the same objects."""


@dataclass(frozen=True, slots=True)
class ScaleTarget:
    """The object to scale."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def label(self) -> str:
        """`Kind/name`, as messages spell it."""
        return f"{self.kind}/{self.name}"

    @property
    def key(self) -> TargetKey:
        """Identity of the object, whatever the version of its API group."""
        group, slash, _ = self.api_version.rpartition("/")
        return group if slash else "", self.kind, self.namespace, self.name


@dataclass(frozen=True, slots=True)
class PartTarget:
    """One of the targets of an autoscaler that has several: a variant or a pool."""

    name: str
    target: ScaleTarget
    spec: PartSpec


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of both directions or of one, and its end (None: until it is removed).

    Attributes:
        problem: Why an annotation cannot be read; everything is held then.
        source: Origin of the pause, as messages spell it.
    """

    is_all: bool = False
    is_scale_in: bool = False
    is_scale_out: bool = False
    until: datetime | None = None
    problem: str = ""
    source: str = "annotation"

    def holds(self, from_replicas: int, to_replicas: int, now: datetime) -> bool:
        """True where a change from `from_replicas` to `to_replicas` is held at `now`."""
        if self.is_active(now):
            return True
        if to_replicas < from_replicas:
            return self.is_scale_in
        return to_replicas > from_replicas and self.is_scale_out

    def is_active(self, now: datetime) -> bool:
        """True where everything is held at `now`."""
        return self.is_all and (self.until is None or now < self.until)

    @property
    def is_partial(self) -> bool:
        """True where one direction is held."""
        return self.is_scale_in or self.is_scale_out


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """Rule of mode `Approval`, and the last verdicts.

    Attributes:
        decision_id: Decision that a human approved by annotation.
        expire_after_s: Age up to which an approved decision may still be applied, in seconds.
        auto_replicas: Largest change that needs no approval.
        approved_by: The person who approved it, as annotated; empty: not stated.
        rejected_id: Decision that a human rejected by annotation.
        rejected_by: The person who rejected it, as annotated; empty: not stated.
    """

    decision_id: int | None = None
    expire_after_s: float = 900.0
    auto_replicas: int = 0
    approved_by: str = ""
    rejected_id: int | None = None
    rejected_by: str = ""


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """Why an objective that is written down is not measured.

    Attributes:
        reason: One word, as a condition has it.
        message: What is wrong, and what to do.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """One `GPUAutoscaler`.

    Attributes:
        spec: None when it cannot be used, for `problem`.
        problem: The mistake and its correction; empty when there is none.
        missing_class: Name of its SLA class where that cannot be found but its own risk stands.
        status: Its status as the API server has it.
        parts: The variants or pools that it scales, the first of which `target` is; none: there is
            one target.
        unmeasured: Why its objective is not measured; None: the spec says nothing against it.
        objective_note: What is known of its measurement beforehand: thresholds between two edges.
        written: Targets of variants and pools that a spec names which cannot be used.
        left_out: Why fields that were set through the API do not fit it and are left out.
        counted_note: Why it counts under budgets as something else than it states, or under none;
            empty: it counts as it states.
        members: One autoscaler for each part, once somebody has asked for them.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    created_at: datetime
    target: ScaleTarget
    spec: WorkloadSpec | None
    problem: str = ""
    missing_class: str = ""
    pause: Pause = Pause()
    approval: ApprovalRule = ApprovalRule()
    status: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[PartTarget, ...] = ()
    unmeasured: Unmeasured | None = None
    objective_note: str = ""
    written: tuple[ScaleTarget, ...] = ()
    left_out: tuple[str, ...] = ()
    counted_note: str = ""
    members: list[Autoscaler] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def targets(self) -> tuple[ScaleTarget, ...]:
        """Everything that it scales."""
        return tuple(part.target for part in self.parts) or (self.target,)

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def seniority(self) -> tuple[datetime, str]:
        """Of several of one target that of the least keeps it."""
        return self.created_at, self.name
