"""What comes to the platform from outside at each step: samples, replicas, the operator's pass."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson
from sqlalchemy import Connection, Engine

from services.kernel.clock import make_rng
from services.kernel.db.session import unit_of_work
from services.kernel.errors import Unavailable
from services.kernel.settings import Settings
from services.lab.bench.fleet.cpu import OwnBackends
from services.lab.bench.fleet.records import StageCost
from services.lab.bench.fleet.repository import SampleSender, load_senders, see_replicas
from services.operator.reconcile import repository as operator_rows
from services.operator.reconcile.memory import Pace

_TIMEOUT_S = 300.0
_SCALES = (1.0, 0.002, 1e-4, 1e-4, 1e-4, 0.004, 0.1, 0.05)
"""Of each indicator against the demand."""
_REQUESTS_S, _GOOD, _COUNTED_SINCE_S = 10.0, 0.97, 1_767_139_200.0
"""Requests a second of a workload with an objective, the share that meets it, and since when."""
_REPORT_S = 30.0
"""How often the operator reads the details of a status."""
_HISTORY_EVERY = timedelta(seconds=Pace().history_s)


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was sent: samples, bytes of the requests, seconds that the answers took."""

    samples: int = 0
    bytes: int = 0
    wall_s: float = 0.0

    def __add__(self, other: Pushed) -> Pushed:
        return Pushed(
            self.samples + other.samples, self.bytes + other.bytes, self.wall_s + other.wall_s
        )


class Pusher:
    """Sends a sample of each indicator of each workload over HTTP, a request for each shard."""

    def __init__(self, connection: Connection, url: str, settings: Settings) -> None:
        """Send to the push API at `url`."""
        token = settings.push_token.get_secret_value() if settings.push_token else ""
        self._http = httpx.Client(
            base_url=url,
            timeout=_TIMEOUT_S,
            trust_env=False,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        self._seed, self._step_s = settings.seed, settings.step_s
        self._shards: dict[int, list[SampleSender]] = defaultdict(list)
        for workload in load_senders(connection):
            self._shards[workload.shard].append(workload)

    @property
    def shards(self) -> int:
        """Shards of the fleet."""
        return len(self._shards)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def push(self, end_at: datetime) -> Pushed:
        """Send the samples of the step that ends at a time."""
        at_s = end_at.timestamp() - self._step_s / 2
        rng = make_rng(self._seed, "bench", "fleet", int(at_s))
        total = Pushed()
        for workloads in self._shards.values():
            noise = rng.normal(1.0, 0.02, len(workloads)).tolist()
            series = []
            for one, factor in zip(workloads, noise, strict=True):
                demand = 900 * (8 + 4 * math.sin(at_s / self._step_s / 40.0 + one.id)) * factor
                values = {
                    name: demand * scale
                    for name, scale in zip(one.indicators, _SCALES, strict=False)
                }
                values |= {name: _counted(name, at_s) for name in one.counters}
                series += [
                    {
                        "namespace": one.namespace,
                        "workload": one.name,
                        "indicator": name,
                        "samples": [[at_s, value]],
                    }
                    for name, value in values.items()
                ]
            total += self._send(series)
        return total

    def _send(self, series: list[dict[str, Any]]) -> Pushed:
        body = orjson.dumps({"observations": series})
        started = time.perf_counter()
        answer = self._http.post("/v1/observations", content=body)
        wall_s = time.perf_counter() - started
        if answer.status_code != httpx.codes.ACCEPTED:
            raise Unavailable(f"the push API answered {answer.status_code}: {answer.text[:300]}")
        found = answer.json()
        if found["accepted"] != len(series):
            raise Unavailable(f"the push API refused samples: {found['rejected'][:1]}")
        return Pushed(len(series), len(body), wall_s)


def _counted(counter: str, at_s: float) -> float:
    """Requests that a counter has counted by a time."""
    requests = _REQUESTS_S * (at_s - _COUNTED_SINCE_S)
    return round(requests * _GOOD if counter.endswith("_good") else requests)


@dataclass(slots=True)
class OperatorPass:
    """What the operator reads and writes in the database within a step, done by this process.

    It finds every target as it was decided, and scales it. Its calls to a cluster are no part of
    it: `harmony bench operator` has them.
    """

    engine: Engine
    settings: Settings
    backends: OwnBackends
    cost: StageCost = field(default_factory=StageCost)
    figures_at: datetime | None = None

    def run(self, now: datetime) -> None:
        """Registrations, decisions, actions and snapshots; details of statuses as often as due."""
        started = (time.thread_time(), self.backends.cpu_s(), time.perf_counter())
        with unit_of_work(self.engine) as work:
            self._act(work.connection, now)
        self.cost.add(
            time.thread_time() - started[0],
            self.backends.cpu_s() - started[1],
            time.perf_counter() - started[2],
        )

    def _act(self, connection: Connection, now: datetime) -> None:
        policy = self.settings.policy_version
        ids = [each.id for each in operator_rows.load_registrations(connection)]
        found = operator_rows.load_newest_decisions(connection, ids, policy, now)
        after = min((int(row["id"]) for row in found), default=1) - 1
        query = operator_rows.DecisionQuery(policy, after, [], now)
        rows = [
            (
                *(row["origin_at"], row["id"], row["workload_id"], row["n_attempts"] + 1),
                *(row["current_replicas"], row["desired_replicas"], "applied", "", now, None),
            )
            for row in operator_rows.load_open_decisions(connection, query)
        ]
        operator_rows.store_actions(connection, rows)
        for _ in range(max(1, round(self.settings.step_s / _REPORT_S))):
            operator_rows.load_details(connection, ids)
        if self.figures_at is None or now - self.figures_at >= _HISTORY_EVERY:
            operator_rows.load_history_figures(connection, ids, now)
            self.figures_at = now
        see_replicas(connection, now, timedelta(seconds=self.settings.step_s))
