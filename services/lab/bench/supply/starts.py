"""What Harmony knows of starts: as rows of `pod_starts`, and the lead times that follow from them.

Which law the next start follows, and what is learned from those before it, is said by the decision
service's own functions (`services.decision.rows.lead_times`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
from sqlalchemy import RowMapping

from decider import FloatArray
from services.decision.rows import lead_times
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.lead_time import COLD, WARM
from services.lab.bench.supply.cluster import SupplyCluster
from services.lab.bench.supply.demand import GPU_TYPE
from services.lab.bench.supply.nodes import NO_TIME, Replica
from services.operator.plan.provisioning import NodeWaits, Provisioning

N_STARTS = 50
"""Newest starts of a service that the decision service reads."""
N_STARTUPS = 200
"""Newest start-ups of nodes that the operator reads."""
RENEWED_S = 120.0
"""Lead times are learned anew so often, and at once where the next start needs another law."""
INTERVAL = (0.05, 0.95)


@dataclass(frozen=True, slots=True)
class RunClock:
    """Times of a run, in seconds from its start, as the product knows them.

    Attributes:
        start_s: Epoch seconds of the start.
    """

    start_s: float

    def at(self, seconds: float) -> datetime:
        """A time of the run, aware UTC."""
        return datetime.fromtimestamp(self.start_s, UTC) + timedelta(seconds=seconds)


@dataclass(slots=True)
class _ServiceStarts:
    """Starts of one service.

    Attributes:
        n_read: Replicas of the cluster's list that were taken up.
        under_way: Those that are not ready and not gone.
        ended: Rows of the newest of the others.
        bound: Replicas under way whose node is known.
        refused: Those of which it is known that no node comes for them.
    """

    n_read: int = 0
    under_way: list[Replica] = field(default_factory=list)
    ended: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=N_STARTS))
    bound: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _LeadTimeDraws:
    """Draws of a lead time, and what they were learned from."""

    key: tuple[int, ...]
    at_s: float
    draws: FloatArray


class KnownStarts:
    """Starts of all services of one cluster.

    Args:
        n_services: W.
        clock: Of the run.

    Attributes:
        startups_s: Newest times from a replica's request to its place on a node that came for it.
        vain_s: Newest times from a replica's request until it went without a node, or it was known
            that none can be had; of those that ended together the longest.
    """

    def __init__(self, n_services: int, clock: RunClock) -> None:
        self.startups_s: deque[float] = deque(maxlen=N_STARTUPS)
        self.vain_s: deque[float] = deque(maxlen=N_STARTUPS)
        self._clock = clock
        self._is_refused = False
        self._of = [_ServiceStarts() for _ in range(n_services)]
        self._learned: dict[int, _LeadTimeDraws] = {}

    def look(self, cluster: SupplyCluster) -> None:
        """Take up what has happened since the last look."""
        vain: dict[float, float] = {}
        for own, starts in zip(self._of, cluster.starts, strict=True):
            own.under_way += starts[own.n_read :]
            own.n_read = len(starts)
            still = []
            for replica in own.under_way:
                self._note_node(own, replica)
                if (
                    replica.is_gone
                    and not self._is_refused
                    and id(replica) not in own.bound | own.refused
                ):
                    waited_s = replica.gone_s - replica.asked_s
                    vain[replica.gone_s] = max(waited_s, vain.get(replica.gone_s, 0.0))
                if replica.is_ready or replica.is_gone:
                    own.ended.append(self.row(replica))
                    own.bound.discard(id(replica))
                    own.refused.discard(id(replica))
                else:
                    still.append(replica)
            own.under_way = still
        self.vain_s += [waited_s for waited_s in vain.values() if waited_s > 0.0]

    @property
    def waits(self) -> NodeWaits:
        """For how long replicas waited for a node, as the operator reads it."""
        return NodeWaits(tuple(self.startups_s), tuple(self.vain_s))

    def note_refusal(self, state: Provisioning) -> None:
        """Note of all that wait that no node comes for them, where that is known."""
        self._is_refused, since = state.is_refused, state.none_since
        if since is None:
            return
        longest_s = 0.0
        for own in self._of:
            for replica in own.under_way:
                if replica.bound_s == NO_TIME and id(replica) not in own.refused:
                    own.refused.add(id(replica))
                    waited_s = (since - self._clock.at(replica.asked_s)).total_seconds()
                    longest_s = max(longest_s, waited_s)
        if longest_s > 0.0:
            self.vain_s.append(longest_s)

    def _note_node(self, own: _ServiceStarts, replica: Replica) -> None:
        if replica.bound_s == NO_TIME or id(replica) in own.bound:
            return
        own.bound.add(id(replica))
        if replica.is_new_node and id(replica) not in own.refused:
            self.startups_s.append(replica.bound_s - replica.asked_s)

    def rows(self, service: int) -> list[RowMapping]:
        """A service's newest starts, those that ended first."""
        own = self._of[service]
        found = [*own.ended, *(self.row(replica) for replica in own.under_way)]
        return cast(list[RowMapping], found[-N_STARTS:])

    def row(self, replica: Replica) -> dict[str, Any]:
        """A start as a row of `pod_starts`."""
        is_bound = replica.bound_s != NO_TIME
        return {
            "gpu_type": GPU_TYPE,
            "is_provisioned": True,
            "requested_at": self._clock.at(replica.asked_s),
            "bound_at": self._at(replica.bound_s),
            "ready_at": self._at(replica.ready_s),
            "gone_at": self._at(replica.gone_s),
            "is_new_node": replica.is_new_node if is_bound else None,
            "cause": (WARM if replica.has_image else COLD) if is_bound else None,
        }

    def _at(self, at_s: float) -> datetime | None:
        return None if at_s == NO_TIME else self._clock.at(at_s)

    def lead_time_s(
        self,
        service: int,
        spec: WorkloadSpec,
        state: Mapping[str, Any],
        supply: Mapping[str, Any],
        now_s: float,
    ) -> FloatArray:
        """(P,) draws of the lead time of a service's next start.

        Args:
            service: Which.
            spec: What is stated of it.
            state: Its newest row of `replica_states`.
            supply: The row of `gpu_supply` of its type.
            now_s: Time of the run.
        """
        rooms = lead_times.rooms_of(cast(RowMapping, state), spec)
        starts = self.rows(service)
        free = lead_times.free_chances(rooms, starts)
        warm = lead_times.warm_of(rooms)
        key = tuple(round(4.0 * each.get(GPU_TYPE, -1.0)) for each in (free, warm))
        before = self._learned.get(service)
        if before is not None and before.key == key and now_s - before.at_s < RENEWED_S:
            return before.draws
        node = lead_times.node_startup(cast(RowMapping, supply))
        new_nodes = dict.fromkeys(free, node)
        known = lead_times.Known({}, starts, self._clock.at(now_s), new_nodes, free, warm)
        draws = lead_times.of_workload(service, spec, known)
        self._learned[service] = _LeadTimeDraws(key, now_s, draws)
        return draws


def interval_of(draws: FloatArray) -> tuple[float, float]:
    """Ends of the 90 % interval that draws (P,) of a lead time tell."""
    low, high = np.quantile(draws, INTERVAL)
    return float(low), float(high)
