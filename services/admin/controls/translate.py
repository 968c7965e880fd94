"""Rows of controls to what the API returns; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import RowMapping

from services.admin.controls.held_translate import Holders, held_of, paused_until
from services.admin.controls.schemas import (
    Direction,
    PauseView,
    PolicyValues,
    PolicyView,
    SchedulesView,
    ScheduleView,
)
from services.admin.workloads.translate import is_paused
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.controls import Controls, lay_over
from services.kernel.domain.schedules import is_in_force


@dataclass(frozen=True, slots=True)
class Controlled:
    """A workload with what is set of it.

    Attributes:
        spec: What holds, as the operator stored it last.
        own: What the GPUAutoscaler says by itself.
        is_own_stored: That is stored beside what holds; else nothing of the controls but holds
            makes the two differ.
    """

    row: RowMapping
    spec: WorkloadSpec
    own: WorkloadSpec
    controls: Controls
    is_own_stored: bool = False

    @property
    def etag(self) -> str:
        """Version of what can be changed here."""
        return etag_of(self.row["version"])


def etag_of(version: int) -> str:
    """The ETag of a version."""
    return f'"{version}"'


def to_policy(found: Controlled) -> PolicyView:
    """A policy: what holds and what was set."""
    row, spec, policy = found.row, found.spec, found.controls.policy
    laid = lay_over(found.own, found.controls)
    return PolicyView(
        namespace=row["namespace"],
        cluster=row["cluster"],
        workload=row["name"],
        in_force=_values(spec),
        overrides=policy.model_dump(mode="json", exclude_none=True),
        left_out=dict(laid.left_out),
        is_in_force=not laid.left_out and _values(laid.spec) == _values(spec),
        sla_class=spec.sla.sla_class,
        risk_kind=spec.sla.kind,
        risk_window_s=spec.sla.window_s,
        behavior=spec.behavior.model_dump(mode="json"),
        spec_version=row["spec_version"],
        version=row["version"],
        updated_by=row["updated_by"],
        updated_at=row["updated_at"],
    )


def _values(spec: WorkloadSpec) -> PolicyValues:
    return PolicyValues(
        mode=spec.mode,
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        epsilon=spec.sla.epsilon,
        price_usd_per_gpu_hour=spec.price_usd_per_gpu_hour,
        fallback_replicas=spec.fallback_replicas,
    )


def to_pause(found: Controlled, now: datetime, freezes: Sequence[RowMapping] = ()) -> PauseView:
    """The pause of a workload, made through the API or by the GPUAutoscaler.

    Args:
        found: The workload.
        now: Aware.
        freezes: Those that cover it and are not over.
    """
    row, spec, controls = found.row, found.spec, found.controls
    asked = controls.pause if controls.pause and controls.pause.is_active(now) else None
    held = held_direction(spec, now)
    direction = asked.direction if asked else held
    until = asked.until_at if asked else paused_until(spec) if held == "Both" else None
    source: Literal["api", "kubernetes"] | None = "api" if asked else "kubernetes" if held else None
    own = found.own if found.is_own_stored else None
    return PauseView(
        namespace=row["namespace"],
        cluster=row["cluster"],
        workload=row["name"],
        is_paused=direction is not None,
        direction=direction,
        until_at=until,
        source=source,
        is_both_held=asked is not None and asked.direction != "Both" and held == "Both",
        held=held_of(Holders(spec, own, controls.pause, freezes), now),
        reason=asked.reason if asked else "",
        is_in_force=asked is None or held in (asked.direction, "Both"),
        version=row["version"],
        updated_by=row["updated_by"] if asked else None,
        updated_at=row["updated_at"] if asked else None,
    )


def held_direction(spec: WorkloadSpec, now: datetime) -> Direction | None:
    """The direction of scaling that the spec holds at `now`; None: neither."""
    if is_paused(spec, now) or (spec.scale_in_only and spec.scale_out_only):
        return "Both"
    if spec.scale_out_only:
        return "ScaleIn"
    return "ScaleOut" if spec.scale_in_only else None


def to_schedules(found: Controlled, now: datetime) -> SchedulesView:
    """The schedules of a workload."""
    row, controls = found.row, found.controls
    schedules = lay_over(found.own, controls).spec.schedules
    return SchedulesView(
        namespace=row["namespace"],
        cluster=row["cluster"],
        workload=row["name"],
        source="kubernetes" if controls.schedules is None else "api",
        schedules=[
            ScheduleView.model_validate(one.model_dump() | {"is_in_force": is_in_force(one, now)})
            for one in schedules
        ],
        is_in_force=schedules == found.spec.schedules,
        version=row["version"],
    )
