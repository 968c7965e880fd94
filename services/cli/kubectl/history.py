"""Decisions of one workload with what was done and what came of it: rows, pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from services.admin.decisions.outcome_wording import violation_means
from services.admin.decisions.reason_wording import short_reason
from services.admin.decisions.schemas import DecisionSummary, OutcomeView
from services.admin.rest.formats import DASH, clock_time, percent

RESULTS = {
    "applied": "applied",
    "unchanged": "unchanged",
    "advisory": "advisory",
    "awaiting_approval": "waiting",
    "target_missing": "no target",
}


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One decision.

    Attributes:
        measured: Mean share out of SLA of the steps under it, as requests felt it; None: nothing
            measured (yet).
        believed: The same by the capacity that is believed; None: no step has passed.
        n_measured_steps: Steps that were measured under it.
        n_steps: Steps of which something is believed.
        gpu_hours: Used under it; None: no step has passed.
    """

    id: int
    decided_at: datetime
    current: int
    raw: int
    final: int
    reason: str
    result: str | None
    result_reason: str | None
    applied_at: datetime | None
    risk_target: float
    risk_estimated: float | None
    cost_delta_usd_per_h: float
    measured: float | None
    believed: float | None
    n_measured_steps: int
    n_steps: int
    gpu_hours: float | None

    def to_json(self) -> dict[str, Any]:
        """The row as JSON-able values."""
        return asdict(self)


def to_history_rows(
    decisions: Sequence[DecisionSummary], outcomes: Iterable[OutcomeView]
) -> list[HistoryRow]:
    """Decisions in their order, each with the outcomes of the steps under it."""
    under: dict[int, list[OutcomeView]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.decision_id is not None:
            under[outcome.decision_id].append(outcome)
    return [_row(decision, under[decision.id]) for decision in decisions]


def _row(decision: DecisionSummary, outcomes: Sequence[OutcomeView]) -> HistoryRow:
    means = violation_means(outcomes)
    hours = [o.gpu_hours for o in outcomes if o.gpu_hours is not None]
    return HistoryRow(
        id=decision.id,
        decided_at=decision.decided_at,
        current=decision.current_replicas,
        raw=decision.raw_replicas,
        final=decision.desired_replicas,
        reason=decision.reason,
        result=decision.action_result,
        result_reason=decision.action_reason,
        applied_at=decision.applied_at,
        risk_target=decision.risk_target,
        risk_estimated=decision.risk_estimated,
        cost_delta_usd_per_h=decision.cost_delta_usd_per_h,
        measured=means.measured,
        believed=means.believed,
        n_measured_steps=means.n_measured,
        n_steps=means.n_believed,
        gpu_hours=sum(hours) if hours else None,
    )


def render_history(name: str, rows: Sequence[HistoryRow]) -> RenderableType:
    """The table, newest first; times are UTC."""
    table = Table(
        title=f"{name}, newest first, UTC",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
        header_style="bold",
    )
    table.add_column("ID", no_wrap=True)
    table.add_column("DECIDED", no_wrap=True)
    table.add_column("REPLICAS", no_wrap=True)
    table.add_column("RESULT", no_wrap=True)
    table.add_column("RISK", justify="right", no_wrap=True)
    table.add_column("MEASURED", justify="right", no_wrap=True)
    table.add_column("BELIEVED", justify="right", no_wrap=True)
    table.add_column("WHY", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: HistoryRow) -> list[str]:
    is_move = row.current != row.final
    return [
        str(row.id),
        clock_time(row.decided_at),
        f"{row.current} → {row.final}" if is_move else str(row.final),
        RESULTS.get(row.result, row.result) if row.result else DASH,
        percent(row.risk_estimated),
        percent(row.measured),
        percent(row.believed),
        short_reason(row.reason, row.risk_estimated, row.risk_target),
    ]
