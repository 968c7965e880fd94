"""SQL of where the GPUs of each type come from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from services.operator.plan.provisioning import Provisioning
from services.operator.plan.supply import TypeSupply
from services.operator.stored.columns import to_count, to_text

_LEARNED_FROM = timedelta(days=30)
_MOST_STARTS = 200
_LONGEST = 4000
_STATE = ("n_refused", "refused_at", "retry_at", "attempted_at", "settled_at", "refusal")


@dataclass(frozen=True, slots=True)
class Confirming:
    """Times of a pass: rows last seen before `before` are confirmed at `now`."""

    before: datetime
    now: datetime


def load_states(connection: Connection) -> dict[str, Provisioning]:
    """What came of what was asked of the supply of each type."""
    rows = connection.execute(text(f"SELECT gpu_type, {', '.join(_STATE)} FROM gpu_supply"))  # noqa: S608
    return {row[0]: Provisioning(*row[1:]) for row in rows}


def load_startups(connection: Connection, now: datetime) -> Mapping[str, Sequence[float]]:
    """Seconds from a pod's request to its place on a node that came for it, by GPU type."""
    statement = text(
        "SELECT gpu_type, EXTRACT(EPOCH FROM bound_at - requested_at) FROM ("
        "SELECT gpu_type, bound_at, requested_at, row_number() OVER "
        "(PARTITION BY gpu_type ORDER BY bound_at DESC) AS place FROM pod_starts "
        "WHERE is_new_node AND bound_at > :oldest "
        "AND workload_id IN (SELECT id FROM workloads)) s WHERE place <= :most"
    )
    found: dict[str, list[float]] = defaultdict(list)
    oldest = now - _LEARNED_FROM
    for gpu_type, seconds in connection.execute(
        statement, {"oldest": oldest, "most": _MOST_STARTS}
    ):
        found[gpu_type].append(float(seconds))
    return found


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
