"""SQL of where the GPUs of each type come from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from services.operator.plan.provisioning import NodeWaits, Provisioning
from services.operator.plan.supply import TypeSupply
from services.operator.stored.columns import to_count, to_text

_LEARNED_FROM = timedelta(days=30)
_MOST_STARTS = 200
_LONGEST = 4000
_STATE = ("n_refused", "refused_at", "retry_at", "attempted_at", "settled_at", "refusal")

_WAITS = """
WITH waits AS (
    SELECT pod_uid, gpu_type, requested_at, coalesce(refused_at, bound_at, gone_at) AS until,
           coalesce(is_new_node, false) AND refused_at IS NULL AS has_ended
    FROM pod_starts
    WHERE (is_new_node OR refused_at > requested_at
           OR (bound_at IS NULL AND ready_at IS NULL AND gone_at IS NOT NULL))
    AND workload_id IN (SELECT id FROM workloads)
), told AS (
    SELECT gpu_type, has_ended, extract(epoch FROM max(until - requested_at))::float8 AS seconds,
           row_number() OVER (PARTITION BY gpu_type, has_ended ORDER BY until DESC) AS place
    FROM waits WHERE until > :oldest AND until > requested_at
    GROUP BY gpu_type, has_ended, until, CASE WHEN has_ended THEN pod_uid END
)
SELECT gpu_type, has_ended, array_agg(seconds ORDER BY seconds)
FROM told WHERE place <= :most GROUP BY gpu_type, has_ended
"""


@dataclass(frozen=True, slots=True)
class Confirming:
    """Times of a pass: rows last seen before `before` are confirmed at `now`."""

    before: datetime
    now: datetime


def load_states(connection: Connection) -> dict[str, Provisioning]:
    """What came of what was asked of the supply of each type."""
    rows = connection.execute(text(f"SELECT gpu_type, {', '.join(_STATE)} FROM gpu_supply"))  # noqa: S608
    return {row[0]: Provisioning(*row[1:]) for row in rows}


def load_waits(connection: Connection, now: datetime) -> Mapping[str, NodeWaits]:
    """For how long pods waited for a node, by GPU type, as far as it is over.

    A wait is over once it is known that no node can be had: what comes afterwards tells of the
    outage, not of how long a node takes. Of those that were over at the same time without a node
    the longest counts, for all: they waited in vain for one reason.
    """
    given = {"oldest": now - _LEARNED_FROM, "most": _MOST_STARTS}
    found: dict[str, NodeWaits] = defaultdict(NodeWaits)
    for gpu_type, has_ended, seconds in connection.execute(text(_WAITS), given):
        part = {"ended" if has_ended else "unended": tuple(seconds)}
        found[gpu_type] = replace(found[gpu_type], **part)
    return dict(found)


def store_supplies(
    connection: Connection, supplies: Sequence[TypeSupply], times: Confirming
) -> None:
    """Make `gpu_supply` equal to what was seen; rows that did not change are confirmed seldom."""
    gone = text("DELETE FROM gpu_supply WHERE NOT gpu_type = ANY(CAST(:kept AS text[]))")
    connection.execute(gone, {"kept": [each.gpu_type for each in supplies]})
    if not supplies:
        return
    seen = (
        "ceiling", "reason", "message", "node_gpus", "asked_gpus", "startup_median_s",
        "startup_sigma", "n_startups", "gpus_per_node", "headroom_risk", "headroom_mode", *_STATE,
    )  # fmt: skip
    changed = f"({', '.join(f'gpu_supply.{n}' for n in seen)})"
    new = f"({', '.join(f'EXCLUDED.{n}' for n in seen)})"
    statement = text(
        f"INSERT INTO gpu_supply (gpu_type, {', '.join(seen)}, observed_at) VALUES "  # noqa: S608
        f"(:gpu_type, {', '.join(f':{n}' for n in seen)}, :now) "
        "ON CONFLICT (cluster_id, gpu_type) DO UPDATE SET "
        f"{', '.join(f'{n} = EXCLUDED.{n}' for n in seen)}, observed_at = EXCLUDED.observed_at "
        f"WHERE gpu_supply.observed_at <= :before OR {changed} IS DISTINCT FROM {new}"
    )
    rows = [_row(each) | {"before": times.before, "now": times.now} for each in supplies]
    connection.execute(statement, rows)


def _row(supply: TypeSupply) -> dict[str, object]:
    state, startup, headroom = supply.state, supply.startup, supply.headroom.stated
    return {
        "gpu_type": supply.gpu_type,
        "ceiling": to_count(supply.resolved.ceiling),
        "reason": supply.resolved.reason,
        "message": to_text(supply.resolved.message, _LONGEST),
        "node_gpus": to_count(supply.use.nodes),
        "asked_gpus": to_count(supply.use.asked + supply.use.others),
        "startup_median_s": startup.median_s,
        "startup_sigma": startup.sigma,
        "n_startups": startup.n_seen,
        "gpus_per_node": to_count(supply.use.of_one_node or None),
        "headroom_risk": None if headroom is None else headroom.risk,
        "headroom_mode": None if headroom is None else headroom.mode,
        "n_refused": state.n_refused,
        "refused_at": state.refused_at,
        "retry_at": state.retry_at,
        "attempted_at": state.attempted_at,
        "settled_at": state.settled_at,
        "refusal": to_text(state.why, _LONGEST),
    }


def store_attempt(connection: Connection, gpu_type: str, state: Provisioning) -> None:
    """Store that a type is tried again, before the pods that try it are asked for."""
    statement = text(
        "UPDATE gpu_supply SET attempted_at = :attempted_at, retry_at = :retry_at "
        "WHERE gpu_type = :gpu_type"
    )
    values = {"attempted_at": state.attempted_at, "retry_at": state.retry_at}
    connection.execute(statement, values | {"gpu_type": gpu_type})
