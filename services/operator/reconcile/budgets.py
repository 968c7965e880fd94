"""GPU budgets: the table `gpu_budgets` follows the objects, and their status shows the use.

A budget that cannot be read is stored as such: the decision service then allows no increase. Where
the objects cannot be listed, the stored rows hold until they are stale; then a row for any type
stores that its budget is not known. One whose object is gone holds as long: objects that are made
again, and a definition that is, must not lift a limit for a moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection

from services.kernel import telemetry
from services.operator.cluster.node_groups import (
    GROUPS_ANNOTATION,
    GroupOfType,
    to_groups_of_type,
)
from services.operator.kube.client import Object
from services.operator.plan.headroom import StatedHeadroom
from services.operator.plan.supply_sources import StatedSupply
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View
from services.operator.report.conditions import to_conditions
from services.operator.report.facts import Finding
from services.operator.report.headroom import headroom_findings
from services.operator.report.status import merge_patch
from services.operator.report.supply import supply_findings, supply_status
from services.operator.resource.spec import GPUBudgetSpec
from services.operator.resource.supply import Supply
from services.operator.resource.translate import first_problem
from services.operator.stored import budgets_repository
from services.operator.stored.budgets_repository import BudgetRow
from services.operator.stored.columns import to_text
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

ANY_TYPE = "*"
"""The row that stands for every type without one of its own."""
_MOST_BROKEN = 3
"""So many broken answers in a row are of the API server, and no longer of single objects."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One `GPUBudget` as it can be read.

    Attributes:
        gpus: None: the object cannot be read, for `problem`.
        supply: What it says of where the GPUs come from.
    """

    name: str
    gpu_type: str
    gpus: int | None
    problem: str = ""
    supply: StatedSupply = field(default_factory=StatedSupply)


def to_budget(resource: Object) -> Budget:
    """Read one object."""
    name, spec = str(resource["metadata"]["name"]), resource.get("spec") or {}
    try:
        written = GPUBudgetSpec.model_validate(spec)
    except ValidationError as error:
        gpu_type = to_text(str(spec.get("gpuType") or ANY_TYPE))
        problem = f"GPUBudget/{name}: {first_problem(error)}"
        return Budget(name, gpu_type, None, problem, StatedSupply(problem=problem))
    annotations = resource["metadata"].get("annotations") or {}
    supply = to_stated(written.supply, str(annotations.get(GROUPS_ANNOTATION) or ""))
    return Budget(name, written.gpu_type, written.gpus, supply=supply)


def to_stated(written: Supply | None, annotation: str) -> StatedSupply:
    """What an object says of the supply of its type."""
    groups: tuple[GroupOfType, ...] = ()
    problem = ""
    try:
        groups = to_groups_of_type(annotation)
    except ValueError as error:
        problem = str(error)
    if written is None:
        return StatedSupply(groups=groups, problem=problem)
    asked = written.headroom
    headroom = None if asked is None else StatedHeadroom(asked.mode, asked.risk)
    return StatedSupply(
        written.mode,
        written.ceiling,
        written.node_startup_s,
        groups,
        problem,
        headroom=headroom,
        is_spot=bool(written.spot),
    )


def to_rows(budgets: Sequence[Budget]) -> list[BudgetRow]:
    """One row per type: the lowest budget holds; one that cannot be read makes the type unknown."""
    by_type: dict[str, list[Budget]] = {}
    for budget in budgets:
        by_type.setdefault(budget.gpu_type, []).append(budget)
    rows = []
    for gpu_type, of_type in sorted(by_type.items()):
        known = [b.gpus for b in of_type if b.gpus is not None]
        problem = next((b.problem for b in of_type if b.gpus is None), "")
        source = ", ".join(sorted(f"GPUBudget/{b.name}" for b in of_type))
        rows.append(BudgetRow(gpu_type, None if problem else min(known), source, problem))
    return rows


def store_budgets(connection: Connection, deps: OperatorDeps, view: View, now: datetime) -> None:
    """Make `gpu_budgets` equal to the objects; a row is confirmed twice per step."""
    confirm_before = now - timedelta(seconds=deps.settings.step_s) / 2
    if view.budgets is not None:
        rows = to_rows([to_budget(resource) for resource in view.budgets])
        budgets_repository.store_budgets(connection, rows, confirm_before, now)
        kept = [row.gpu_type for row in rows]
        budgets_repository.drop_budgets(connection, kept, now - stale_after(deps))
        deps.memory.budgets_read_at = now
        return
    since = deps.memory.budgets_read_at
    if since is None or now - since > stale_after(deps):
        unknown = BudgetRow(ANY_TYPE, None, "operator", "the GPUBudgets cannot be listed")
        budgets_repository.store_budgets(connection, [unknown], confirm_before, now)


def stale_after(deps: OperatorDeps) -> timedelta:
    """How long a budget holds that was not seen again."""
    return timedelta(seconds=deps.settings.step_s * deps.settings.stale_after_steps)


def report_statuses(deps: OperatorDeps, view: View, now: datetime) -> int:
    """Write the statuses that changed, last those that could not be before; the number written."""
    n_written = n_broken = 0
    budgets = [to_budget(resource) for resource in view.budgets or ()]
    unwritten = deps.memory.unwritten_budgets
    unwritten.intersection_update(budget.name for budget in budgets)
    pairs = zip(view.budgets or (), budgets, strict=True)
    for resource, budget in sorted(pairs, key=lambda pair: pair[1].name in unwritten):
        before = resource.get("status") or {}
        changed = merge_patch(before, _status(view, resource, budget, budgets, now))
        if not changed:
            continue
        try:
            deps.kube.patch_budget_status(budget.name, changed)
        except KubeError as error:
            telemetry.reconcile_errors_total.labels("status").inc()
            log.warning("budget_status_not_written", budget=budget.name, error=error.message)
            unwritten.add(budget.name)
            n_broken += not error.is_of_object
            if error.is_of_all or n_broken == _MOST_BROKEN:
                break
            continue
        unwritten.discard(budget.name)
        n_written, n_broken = n_written + 1, 0
    return n_written


def _status(
    view: View, resource: Object, budget: Budget, budgets: Sequence[Budget], now: datetime
) -> dict[str, Any]:
    """The status that the object should have."""
    used, n_users = _used(view, budget.gpu_type)
    metadata = resource["metadata"]
    before = (resource.get("status") or {}).get("conditions") or ()
    findings = [_finding(budget, budgets, used, n_users)]
    supply = view.supplies.get(budget.gpu_type)
    if supply is not None:
        findings += [*supply_findings(supply, budget.gpus), *headroom_findings(supply)]
    return {
        "usedGpus": used,
        "supply": None if supply is None else supply_status(supply),
        "conditions": to_conditions(findings, before, int(metadata.get("generation", 0)), now),
    }


def _used(view: View, gpu_type: str) -> tuple[int, int]:
    """GPUs that the targets of a type ask for, and how many targets there are."""
    used = n_users = 0
    for member in view.members():
        spec, target = member.spec, view.target_of(member)
        if spec is None or target is None or spec.gpu_type != gpu_type:
            continue
        n_users += 1
        used += target.replicas * spec.gpus_per_replica
    return used, n_users


def _finding(budget: Budget, budgets: Sequence[Budget], used: int, n_users: int) -> Finding:
    """Condition `Ready`: the budget is in force, or why it is not."""
    if budget.gpus is None:
        return Finding("Ready", "False", "Invalid", budget.problem)
    lowest = min(
        (b for b in budgets if b.gpu_type == budget.gpu_type and b.gpus is not None),
        key=lambda b: (b.gpus, b.name),
    )
    if lowest.name != budget.name:
        message = f"GPUBudget/{lowest.name} allows no more than {lowest.gpus} {budget.gpu_type}"
        return Finding("Ready", "False", "LowerBudgetHolds", message)
    if n_users == 0:
        message = f"no GPUAutoscaler has gpuType {budget.gpu_type!r}; the spelling must be the same"
        return Finding("Ready", "True", "Unused", message)
    if used > budget.gpus:
        message = f"{used} GPUs are in use, {budget.gpus} allowed: nothing is added"
        return Finding("Ready", "True", "Exceeded", message)
    return Finding("Ready", "True", "Holds")
