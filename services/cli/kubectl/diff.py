"""Rows that compare what Harmony would do now with what runs; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.admin.rest.formats import DASH, ago, percent, usd
from services.admin.workloads.schemas import WorkloadView
from services.cli.kubectl.holds import ApiHold


@dataclass(frozen=True, slots=True)
class DiffRow:
    """One workload. An unknown is None, never zero.

    Attributes:
        current: Replicas that the target asks for, by the newest snapshot.
        recommended: Replicas of the newest decision while it is valid.
        is_different: Another count is recommended than what runs, of the target or of any of the
            variants or pools: these may differ where their sum is the same.
        held_by: What holds it beside annotations of its object, with what ends that.
        problem: Why nothing can be said; empty when something can.
    """

    namespace: str
    name: str
    mode: str
    is_paused: bool
    current: int | None
    recommended: int | None
    is_different: bool
    delta_gpus: int | None
    delta_usd_per_h: float | None
    risk_estimated: float | None
    risk_target: float
    decision_id: int | None
    decided_at: datetime | None
    result: str | None
    result_reason: str | None
    problem: str
    held_by: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The row as JSON-able values."""
        return asdict(self) | {"is_different": None if self.problem else self.is_different}


class _Change(NamedTuple):
    """What is recommended of one target beyond what runs."""

    replicas: int
    gpus_per_replica: int
    usd_per_gpu_hour: float


def to_diff_row(workload: WorkloadView, now: datetime, holds: Sequence[ApiHold] = ()) -> DiffRow:
    """The row of one workload.

    Args:
        workload: Its live state.
        now: Aware.
        holds: What the API holds of it, where all of it is held.
    """
    decision, replicas = workload.last_decision, workload.replicas
    is_valid = decision is not None and now < decision.valid_until
    current = None if replicas is None else replicas.spec
    recommended = decision.desired_replicas if decision is not None and is_valid else None
    changes = _changes(workload, current, recommended)
    gpus = usd_per_h = None
    if changes is not None:
        gpus = sum(one.replicas * one.gpus_per_replica for one in changes)
        usd_per_h = sum(
            one.replicas * one.gpus_per_replica * one.usd_per_gpu_hour for one in changes
        )
    return DiffRow(
        namespace=workload.namespace,
        name=workload.name,
        mode=workload.mode,
        is_paused=workload.is_paused,
        current=current,
        recommended=recommended,
        is_different=any(one.replicas for one in changes or ()),
        delta_gpus=gpus,
        delta_usd_per_h=usd_per_h,
        risk_estimated=workload.risk.estimated,
        risk_target=workload.risk.target,
        decision_id=decision.id if decision else None,
        decided_at=decision.decided_at if decision else None,
        result=decision.action_result if decision else None,
        result_reason=decision.action_reason if decision else None,
        problem=_problem(workload, is_valid, is_known=changes is not None),
        held_by=tuple(hold.words for hold in holds if hold.direction == "Both"),
    )


def _changes(
    workload: WorkloadView, current: int | None, recommended: int | None
) -> list[_Change] | None:
    """The change of every target; None: it is not known of each."""
    if current is None or recommended is None:
        return None
    if not workload.parts:
        gpus, price = workload.gpus_per_replica, workload.price_usd_per_gpu_hour
        return [_Change(recommended - current, gpus, price)]
    changes = []
    for part in workload.parts:
        if part.desired_replicas is None or part.replicas is None:
            return None
        count = part.desired_replicas - part.replicas
        changes.append(_Change(count, part.gpus_per_replica, part.price_usd_per_gpu_hour))
    return changes


def _problem(workload: WorkloadView, is_valid: bool, *, is_known: bool) -> str:
    if workload.last_decision is None:
        return "no decision yet; `kubectl describe gpua` says what is missing"
    if not is_valid:
        return "its newest decision is no longer valid; is the decision service running?"
    if workload.replicas and is_known:
        return ""
    if workload.replicas:
        unknown = ", ".join(
            part.name for part in workload.parts if None in (part.desired_replicas, part.replicas)
        )
        return f"no count is known of {unknown} yet; the next decision and snapshot tell of it"
    if workload.managed_by == "api":
        key = f"{workload.namespace}/{workload.name}"
        return f"made over REST; tell what runs with POST /v1/workloads/{key}/replicas"
    return "its target has not been seen by the operator yet"


def render_diff(rows: Sequence[DiffRow], is_all: bool, now: datetime) -> RenderableType:
    """The table, its total, and what each row needs that is not settled.

    Args:
        rows: One per workload.
        is_all: Names are shown with their namespace.
        now: Aware.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("WORKLOAD", overflow="fold")
    for name in ("NOW", "WANTS", "GPUS", "USD/H", "RISK"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("MODE", "AGE"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        style = "bold" if row.is_different else "dim" if row.problem else ""
        table.add_row(*_cells(row, is_all, now), style=style)
    return Group(table, *(Text(line) for line in (*_notes(rows), _total(rows))))


def _cells(row: DiffRow, is_all: bool, now: datetime) -> list[str]:
    return [
        f"{row.namespace}/{row.name}" if is_all else row.name,
        _count(row.current),
        _count(row.recommended),
        DASH if row.delta_gpus is None else f"{row.delta_gpus:+d}" if row.delta_gpus else "0",
        usd(row.delta_usd_per_h, is_signed=True).replace("$", "")
        if row.is_different
        else (DASH if row.delta_gpus is None else "0"),
        percent(row.risk_estimated),
        row.mode,
        ago(row.decided_at, now).removesuffix(" ago"),
    ]


def _count(value: int | None) -> str:
    return DASH if value is None else str(value)


def _notes(rows: Sequence[DiffRow]) -> list[str]:
    found = []
    for row in rows:
        name = f"{row.namespace}/{row.name}"
        if row.problem:
            found.append(f"{name}: {row.problem}")
        elif row.held_by:
            found.extend(f"{name}: {words}" for words in row.held_by)
        elif row.is_paused:
            found.append(f"{name}: paused; `kubectl harmony resume {row.name} -n {row.namespace}`")
        elif row.result == "awaiting_approval" and row.is_different:
            found.append(
                f"{name}: decision {row.decision_id} waits; "
                f"`kubectl harmony approve {row.name} -n {row.namespace}`"
            )
        elif row.result == "rejected" and row.is_different:
            found.append(f"{name}: {row.result_reason}")
        elif row.result in ("conflict", "failed", "target_missing"):
            found.append(f"{name}: {row.result}; `kubectl describe gpua {row.name}` says more")
    return found


def _total(rows: Sequence[DiffRow]) -> str:
    different = [row for row in rows if row.is_different]
    if not rows:
        return "no workloads"
    if not different:
        n_known = sum(not row.problem for row in rows)
        return f"{n_known} of {len(rows)} run as Harmony recommends"
    gpus = sum(row.delta_gpus or 0 for row in different)
    money = usd(sum(row.delta_usd_per_h or 0.0 for row in different), is_signed=True)
    return f"{len(different)} of {len(rows)} differ: {gpus:+d} GPUs, {money} per hour"
