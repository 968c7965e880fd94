"""Services in a closed loop through Postgres: the truth answers the counts that are decided.

Each step writes what the truth says of it (demand, requests and misses, replicas), decides, and
takes the count over at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Engine, RowMapping, text

from decider import FloatArray, MissDraws
from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from tests.integration.decision.stored_rows import (
    ORIGIN,
    TOKENS,
    add_demand,
    add_forecast,
    add_state,
    add_workload,
)
from tests.integration.stored_indicators import store_indicators

STEP_S = 60
STEP = timedelta(seconds=STEP_S)
SHARE = 0.95
OBJECTIVE = {
    "goals": [{"metric": "ttft", "threshold_s": 0.5}],
    "share": SHARE,
    "series": [
        {"name": name, "query": "sum(rate(x[$step]))"}
        for name in ("sli_ttft_total", "sli_ttft_good", "sli_waiting", "sli_lost")
    ],
}


def truth(knee: float, slope: float = 12.0) -> MissDraws:
    """A response of which 5 % miss at the load `knee`."""
    capacity = knee * (1.0 / (1.0 - SHARE) - 1.0) ** (1.0 / slope)
    return MissDraws(*(np.array([v]) for v in (capacity, slope, 0.0, 200.0)))


@dataclass
class Looped:
    """One workload of the loop and what became of it.

    Attributes:
        id: The workload.
        response: What load truly does to its requests.
        is_told: The forecasts hold its tokens.
        lost: Share of requests without an answer in step t, whatever the load.
        waiting: Mean number of requests that wait in step t; None: not known.
        count: Replicas now.
    """

    id: int
    response: MissDraws
    lost: Callable[[int], float] = lambda _t: 0.0
    waiting: Callable[[int], float | None] = lambda _t: 0.0
    count: int = 4
    is_told: bool = True
    counts: list[int] = field(default_factory=list)
    is_bad: list[bool] = field(default_factory=list)


class Loop:
    """A shard of workloads that all have the same demand, and tokens where these are given."""

    def __init__(
        self,
        deps: DecisionDeps,
        demand: Callable[[int], float],
        tokens: Callable[[int], float] | None = None,
    ) -> None:
        self.tokens = tokens
        settings = deps.settings.model_copy(update={"step_s": STEP_S, "late_s": 0.0})
        self.deps = replace(deps, settings=settings)
        self.demand = demand
        self.services: list[Looped] = []
        self.rng = np.random.default_rng(5)
        self.at = 0

    def add(self, name: str, response: MissDraws, **changes: Any) -> Looped:
        """A workload that stays as it is; one with an objective names it in its `sla`."""
        workload = add_workload(self.deps.engine, name, **changes)
        with self.deps.engine.begin() as connection:
            connection.execute(text("UPDATE workloads SET step_s = :s"), {"s": STEP_S})
        self.services.append(Looped(workload, response))
        return self.services[-1]

    def run(self, n_steps: int) -> None:
        """Go on for some steps."""
        for _ in range(n_steps):
            start = ORIGIN + self.at * STEP
            noise = float(np.exp(0.03 * self.rng.standard_normal()))
            for one in self.services:
                self._write(one, start, self.demand(self.at) * noise)
            at = replace(self.deps, clock=FixedClock(start + STEP))
            service.decide_shard(at, 0, start)
            for one in self.services:
                self._take(one, decided(self.deps.engine, one.id, start))
            self.at += 1

    def _take(self, one: Looped, decision: RowMapping) -> None:
        """What was decided runs at once."""
        one.count = int(decision["desired_replicas"])

    def _per_replica(self, one: Looped, demand: float, tokens: float) -> FloatArray:
        """(1+F,) loads of a replica."""
        loads = np.array([demand, tokens][: 1 + one.response.n_further])
        return np.asarray(loads / one.count)

    def _see(self, one: Looped, start: datetime) -> None:
        """The replicas as the operator sees them."""
        add_state(self.deps.engine, one.id, one.count, at=start)

    def _write(self, one: Looped, start: datetime, demand: float) -> None:
        engine, total = self.deps.engine, round(demand * STEP_S)
        tokens = (
            None if self.tokens is None else self.tokens(self.at) * demand / self.demand(self.at)
        )
        loads = self._per_replica(one, demand, tokens or 0.0)
        share = float(one.response.miss(loads[None])[0, 0])
        near = float(one.response.concentration[0])
        missed = self.rng.binomial(total, self.rng.beta(share * near, (1.0 - share) * near))
        lost = round(total * one.lost(self.at))
        one.counts.append(one.count)
        one.is_bad.append(missed + lost > (1.0 - SHARE) * total)
        add_demand(engine, one.id, [demand], last=start)
        self._see(one, start)
        counted = {"ttft_total": total - lost, "ttft_good": total - lost - missed, "lost": lost}
        rows = [(one.id, f"sli_{k}", start, v / STEP_S, True) for k, v in counted.items()]
        waiting = one.waiting(self.at)
        rows.append((one.id, "sli_waiting", start, waiting, waiting is not None))
        with engine.begin() as connection:
            store_indicators(connection, rows)
        forecast_id = self.at * len(self.services) + self.services.index(one) + 1
        level = self.demand(self.at + 1)
        further = None
        if self.tokens is not None and tokens is not None:
            add_demand(engine, one.id, [tokens], last=start, indicator=TOKENS)
            further = {TOKENS: self.tokens(self.at + 1)} if one.is_told else None
        add_forecast(
            engine,
            one.id,
            level,
            forecast_id=forecast_id,
            origin_at=start,
            step_s=STEP_S,
            further=further,
        )


def decided(engine: Engine, workload: int, origin: datetime) -> RowMapping:
    """The decision about a workload at an origin."""
    query = "SELECT * FROM decisions WHERE workload_id = :id AND origin_at = :origin"
    with engine.connect() as connection:
        found = connection.execute(text(query), {"id": workload, "origin": origin})
        return found.mappings().one()
