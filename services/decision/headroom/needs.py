"""What decided workloads may need of GPUs that come on new nodes, as rows of `gpu_needs`; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from decider import (
    USES,
    Decision,
    FloatArray,
    IntArray,
    InvalidRequest,
    Soft,
    peak_replicas,
    soft_responses,
)
from services.decision.rows.prepare import Prepared, RequestRow

Peaks = tuple[IntArray | None, ...]
"""Of each row of a request what `decider.peak_replicas` says of it; None: nothing can be said."""


def peaks_of(prepared: Prepared, provisioned: Collection[str]) -> Peaks:
    """Peaks of the rows whose GPUs may come on new nodes.

    Nothing is said of a workload with variants, whose mix is not known ahead, of one without a
    forecast, of one whose forecast is not numbers, and of one that no budget counts.

    Args:
        prepared: A request.
        provisioned: GPU types to which nodes are added.
    """
    return tuple(_peaks(row, provisioned) for row in prepared.rows)


def _peaks(row: RequestRow, provisioned: Collection[str]) -> IntArray | None:
    spec = row.member.spec
    if (
        not row.member.is_budgeted
        or spec.variants
        or spec.gpu_type not in provisioned
        or not row.given.forecast_rung
    ):
        return None
    try:
        return peak_replicas(_tightest(row), row.capacity)
    except InvalidRequest:
        return None


def _tightest(row: RequestRow) -> FloatArray:
    """(S, H) demand, or what the tightest further load is in demand where that is more."""
    found, one = row.paths, float(np.median(row.capacity))
    further = () if row.further is None else row.further
    for paths, capacity in zip(further, row.given.further_capacity, strict=False):
        found = np.maximum(found, paths * (one / capacity))
    return found


Told = Mapping[str, Mapping[str, object]]
"""What explanations say of headroom, by GPU type; of a type that is absent nothing is advised."""


def told_headroom(supply: Mapping[str, RowMapping]) -> Told:
    """What is to be held ready, from the rows of the supplies."""
    return {name: row["headroom"] for name, row in supply.items() if row.get("headroom")}


def headroom_of(told: Told, rows: Sequence[RequestRow]) -> Mapping[str, object] | None:
    """What is said to a service: of its target's GPU type, or the first of its pools'."""
    types = [row.member.spec.gpu_type for row in rows]
    return next((told[name] for name in types if name in told), None)


def need_rows(
    prepared: Prepared, peaks: Peaks, decisions: Sequence[Decision], now: datetime
) -> list[tuple[Any, ...]]:
    """Rows of `gpu_needs`, in the order of `repository.NEED_COLUMNS`.

    Args:
        prepared: The request.
        peaks: Of its rows.
        decisions: A decision of each of its rows.
        now: Aware.
    """
    soft = soft_responses(prepared.request) if any(own is not None for own in peaks) else {}
    rows = enumerate(zip(prepared.rows, peaks, decisions, strict=True))
    return [
        _need_row(row, own, _risk_at_use(row, soft.get(at)), decision, now)
        for at, (row, own, decision) in rows
        if own is not None
    ]


def _need_row(
    row: RequestRow,
    peaks: IntArray,
    risk_at_use: Sequence[float] | None,
    decision: Decision,
    now: datetime,
) -> tuple[Any, ...]:
    spec, pool = row.member.spec, row.given.pool
    # advice, and what waits for an approval, is granted to nobody yet (docs/decisions/0122)
    is_granted = spec.mode == "Auto"
    held = max(decision.current, decision.final) if is_granted else decision.current
    return (
        row.member.id,
        "" if pool is None else pool.name,
        spec.gpu_type,
        spec.gpus_per_replica,
        spec.price_usd_per_gpu_hour,
        decision.current,
        held,
        max(held, spec.max_replicas),
        row.member.step_s,
        peaks.ravel().tolist(),
        risk_at_use,
        now,
    )


def _risk_at_use(row: RequestRow, soft: Soft | None) -> list[float] | None:
    """What `decider.ServiceNeed` takes of it; None: it has no response, so it has an edge."""
    if soft is None:
        return None
    loads = np.log(float(np.median(row.capacity))) + np.log(USES)
    return [round(risk, 6) for risk in soft.risk(loads).tolist()]
