"""Record pods that a scaling in took and that were killed at the end of their grace."""

from __future__ import annotations

from sqlalchemy import Connection

from services.kernel import telemetry
from services.operator.cluster.kills import KilledPod
from services.operator.reconcile.memory import OperatorDeps
from services.operator.stored.kills_repository import store_kills


def record_kills(connection: Connection, deps: OperatorDeps) -> tuple[frozenset[str], int]:
    """Store what is new; `remember_kills` must follow the commit.

    The pods are gone by now: whose they were is known of those that were followed until then.

    Returns:
        Uids of all killed pods that are seen, and how many rows are new.
    """
    seen: list[KilledPod] = deps.kube.last_states("Pod")
    starts, known = deps.memory.starts or {}, deps.memory.kills
    fresh = [each for each in seen if each.uid in starts and each.uid not in known]
    new = store_kills(connection, fresh, [starts[each.uid].workload_id for each in fresh])
    return frozenset(each.uid for each in seen), len(new)


def remember_kills(deps: OperatorDeps, recorded: tuple[frozenset[str], int]) -> None:
    """What was stored is not looked at again."""
    deps.memory.kills, n_new = recorded
    telemetry.killed_pods_total.inc(n_new)
