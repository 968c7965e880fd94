"""Harmony as a policy of the engine's loop: each tick is a scrape, a snapshot and a decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from services.kernel.clock import FixedClock
from services.kernel.domain.objective import WAITING
from services.kernel.errors import InvalidInput, Unavailable
from services.kernel.settings import Settings
from services.lab.arena.loop import LoopTargets, LoopTick
from services.lab.bench.llm_product import repository
from services.lab.bench.llm_product.meters import ServiceMeter
from services.lab.bench.llm_product.pipeline import Pipeline
from services.lab.bench.llm_product.replicas import ServiceReplicas
from services.lab.bench.llm_product.setup import (
    INPUT,
    NAME,
    NAMESPACE,
    OCCUPANCIES,
    OUTPUT,
    REQUESTS,
    HarmonySetup,
    workload_spec,
)
from services.operator.plan.plan import Result
from services.operator.reconcile import repository as operator_rows

START_AT = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday midnight: the loop's second 0."""
_JUST_BEFORE_S = 1e-3
"""A gauge read at a step's end is one of that step."""


def run_settings(setup: HarmonySetup, database_url: str) -> Settings:
    """The platform's settings for a run; all that is not named here is the default."""
    return Settings().model_copy(
        update={
            "database_url": database_url,
            "clock": "replay",
            "seed": setup.seed,
            "step_s": setup.step_s,
            "horizon_steps": setup.horizon_steps,
            "late_s": 0.0,  # one scrape brings all that a step has
        }
    )


class HarmonyPolicy:
    """The product's own path; it knows the setup and what is scraped, and nothing else.

    Attributes:
        pipeline: The platform's services in this process.
        workload_id: The workload in its database.
    """

    def __init__(self, setup: HarmonySetup, database_url: str) -> None:
        """Register the workload.

        Args:
            setup: What Harmony is told.
            database_url: A migrated, empty database of its own.
        """
        self._setup = setup
        self._spec = workload_spec(setup)
        clock = FixedClock(START_AT)
        self.pipeline = Pipeline(run_settings(setup, database_url), clock)
        self.workload_id = self._register()
        self._meter = ServiceMeter(
            {"ttft": setup.goals.ttft_ms / 1e3, "tpot": setup.goals.tpot_ms / 1e3}
        )
        self._replicas = ServiceReplicas(setup, START_AT)
        self._store_state(START_AT)
        self._first_readings = self._meter.counters() | {REQUESTS: 0.0}

    @property
    def first_tick_s(self) -> float:
        """The end of the first step."""
        return float(self._setup.step_s)

    def on_tick(self, tick: LoopTick) -> LoopTargets:
        """Scrape, take the snapshot, decide, apply."""
        clock = self.pipeline.clock
        now = START_AT + timedelta(seconds=tick.now_s)
        clock.advance((now - clock.now()).total_seconds())
        self._replicas.see(tick.pools, now)
        self._store_state(now)
        self._meter.observe(tick)
        result = self.pipeline.push(self._body(tick))
        if result.rejected:
            raise InvalidInput(f"a scrape was refused: {result.rejected[0]}")
        self._apply(now)
        return LoopTargets(self._replicas.counts, tick.now_s + self._setup.step_s)

    def _register(self) -> int:
        """Admit the workload as the operator does."""
        row = {
            "namespace": NAMESPACE,
            "name": NAME,
            "step_s": self._setup.step_s,
            "spec": self._spec.model_dump(mode="json"),
        }
        with self.pipeline.engine.begin() as connection:
            operator_rows.register(connection, [row], 256, START_AT)
        return repository.workload_id_of(self.pipeline.engine, NAMESPACE, NAME)

    def _store_state(self, now: datetime) -> None:
        """Record the replicas as the operator's snapshot does."""
        row = self._replicas.state_row(self.workload_id, now)
        starts = self._replicas.take_starts(self.workload_id, now)
        with self.pipeline.engine.begin() as connection:
            operator_rows.store_states(connection, [row])
            operator_rows.store_starts(connection, starts)

    def _body(self, tick: LoopTick) -> bytes:
        """The push request of a scrape."""
        at_s = (START_AT + timedelta(seconds=tick.now_s)).timestamp()
        readings = self._meter.counters() | {REQUESTS: float(self._meter.arrived)}
        series: dict[str, list[list[float]]] = {
            name: [[at_s, value]] for name, value in readings.items()
        }
        for name, value in self._first_readings.items():
            series[name].insert(0, [START_AT.timestamp(), value])
        self._first_readings = {}
        gauges = {WAITING: float(tick.waiting)}
        offered = self._meter.offered(tick.arrived)
        if offered is not None:
            per_s = 1.0 / self._setup.step_s
            gauges |= {INPUT: offered[0] * per_s, OUTPUT: offered[1] * per_s}
        for pool in self._setup.pools:
            if pool.occupied is None or not tick.pools[pool.name].ready:
                continue
            taken = tick.work[pool.name].taken(pool.occupied)
            if taken is not None:
                gauges[OCCUPANCIES[pool.occupied]] = taken
        for name, value in gauges.items():
            series[name] = [[at_s - _JUST_BEFORE_S, value]]
        entries: list[dict[str, Any]] = [
            {"namespace": NAMESPACE, "workload": NAME, "indicator": name, "samples": samples}
            for name, samples in series.items()
        ]
        return orjson.dumps({"observations": entries})

    def _apply(self, now: datetime) -> None:
        """Take over what was decided, and record the action."""
        origin_at = now - timedelta(seconds=self._setup.step_s)
        found = repository.newest_decision(self.pipeline.engine, self.workload_id, origin_at)
        if found is None:
            raise Unavailable(f"nothing was decided for {origin_at:%H:%M:%S}; see the log")
        asked = self._replicas.counts
        self._replicas.take(found, now)
        result = Result.UNCHANGED if asked == self._replicas.counts else Result.APPLIED
        before, after = sum(asked.values()), sum(self._replicas.counts.values())
        key = (origin_at, found["id"], self.workload_id, 1)
        action = (*key, before, after, result.value, "", now, None)
        with self.pipeline.engine.begin() as connection:
            operator_rows.store_actions(connection, [action])
