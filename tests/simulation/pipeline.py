"""Ingest, forecasting and decision under the same faults: real jobs on Postgres feed the operators.

A worker carries out the jobs, one after the other; jobs are lost, come twice or in another order,
and the worker ends at any effect. The sweeps that the beat sends must make good for all of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from services.decision.decide import service as deciding
from services.decision.wiring import DecisionDeps
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service as forecasting
from services.ingest import service as ingest
from services.ingest.deps import IngestDeps
from services.ingest.push.service import push
from services.kernel import jobs
from services.kernel.errors import HarmonyError
from services.kernel.jobs import Job
from services.operator.reconcile.repository import DECISIONS_CHANNEL
from tests.simulation.chance import Crash
from tests.simulation.cluster import NAMESPACE, START, at, stamp, targets_of
from tests.simulation.operators import WatchedEngine
from tests.simulation.source import Made

if TYPE_CHECKING:
    from tests.simulation.world import World

_LOST, _TWICE, _LATER = 0.05, 0.05, 0.1
STEP_S = 60


@dataclass
class JobsOnTheirWay:
    """Jobs that were sent; some are lost, come twice, or after others.

    Attributes:
        troubles_s: When one was lost or moved, or work on one failed.
    """

    world: World
    waiting: list[Job] = field(default_factory=list)
    troubles_s: list[float] = field(default_factory=list)

    def send(self, job: Job) -> None:
        chance, is_calm = self.world.chance, self.world.faults.patch == 0.0
        if not is_calm and chance.happens(_LOST):
            self.world.note_fault(None, f"lost: {job.name}")
            self.troubles_s.append(self.world.now_s)
            return
        self.waiting.append(job)
        if not is_calm and chance.happens(_TWICE):
            self.waiting.append(job)
        if not is_calm and chance.happens(_LATER) and len(self.waiting) > 1:
            self.waiting.append(self.waiting.pop(-2))
            self.troubles_s.append(self.world.now_s)


class Worker:
    """The process that carries out jobs; it comes back at once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.label = "W"
        self.has_transaction = False
        self.is_in_pass = True
        self.stopped_until_s = -1.0
        self.line = JobsOnTheirWay(world)
        engine: Any = WatchedEngine(world.engine, self)  # type: ignore[arg-type]
        settings, clock = world.settings, world.clock
        self.ingest = IngestDeps(engine, clock, self.line, settings)
        self.forecasting = replace(make_forecasting(settings, self.line, clock), engine=engine)
        self.decision = DecisionDeps(engine, clock, settings, sender=self.line)
        self._tasks: dict[str, Callable[..., object]] = {
            jobs.INGEST_RESAMPLE: lambda *place: ingest.resample_shard(self.ingest, *place),
            jobs.FORECAST_SHARD: lambda *place, **turn: forecasting.forecast_shard(
                self.forecasting, *place, **turn
            ),
            jobs.DECIDE_SHARD: lambda *place, **turn: deciding.decide_shard(
                self.decision, *place, **turn
            ),
        }

    def guarded(self, what: str, work: Callable[[], object]) -> bool:
        """Do something that may fail or be cut short; True where it worked."""
        try:
            work()
        except Crash as crash:
            self.world.note(None, f"worker CRASH {crash}")
        except (DBAPIError, HarmonyError) as error:
            self.world.note(None, f"{what} failed: {type(error).__name__}")
        else:
            return True
        self.has_transaction = False
        self.line.troubles_s.append(self.world.now_s)
        return False

    def carry_out(self) -> None:
        """All jobs that wait, and those that follow from them."""
        while self.line.waiting:
            job = self.line.waiting.pop(0)
            run = self._tasks.get(job.name)
            if run is None:
                continue
            shard, moment = job.payload["shard"], datetime.fromisoformat(str(job.payload["at"]))
            assert isinstance(shard, int)
            self.world.note(None, f"job {job.name} {moment:%H:%M:%S}")
            turn = {key: job.payload[key] for key in job.payload if key not in {"shard", "at"}}
            self.guarded(job.name, partial(run, shard, moment, **turn))

    def sweep(self) -> None:
        """What the beat sends when the line is empty."""
        now = self.world.clock.now()
        self.guarded("sweep", lambda: ingest.sweep(self.ingest, now))
        self.guarded("sweep", lambda: forecasting.sweep(self.forecasting))
        self.guarded("sweep", lambda: deciding.sweep(self.decision))
        self.carry_out()


@dataclass
class PipelineSource:
    """Pushes what was measured and lets the worker decide, in place of made-up decisions.

    Attributes:
        active: Workloads that were registered before and after each turn of the worker.
    """

    world: World
    made: dict[int, Made] = field(default_factory=dict)
    is_quiet: bool = False
    last: dict[str, dict[str, int]] = field(default_factory=dict)
    n_pushed: int = 0
    active: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    _kept: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.worker = Worker(self.world)

    def newest(self, n: int) -> list[Made]:
        found = {one.workload: one for one in self.made.values()}
        return [found[name] for name in sorted(found)]

    def decide(self) -> None:
        self._note_active()
        self._kept.append(self._body())
        kept, self._kept = self._kept, []
        for body in kept:
            if self.worker.guarded("push", lambda body=body: push(self.worker.ingest, body)):  # type: ignore[misc]
                self.n_pushed += 1
            else:
                self._kept.append(body)  # the pusher tries again, at its next step
        self.worker.carry_out()
        if self.is_quiet or self.world.chance.happens(0.7):
            self.worker.sweep()
        self._note_active()
        self._note_made()
        self.world.notify(DECISIONS_CHANNEL)

    def store_kept(self) -> None:
        """Nothing is kept; what a worker that hangs has decided may be taken up meanwhile."""
        if self.world.is_hanging:
            self._note_made()

    def _body(self) -> bytes:
        """One sample of each series for each step since the last one."""
        world, entries = self.world, []
        moment_s = (world.step - 1) * STEP_S
        for number, (name, found) in enumerate(sorted(world.cluster.autoscalers.items())):
            load = 25.0 + 15.0 * math.sin(world.step / 6.0 + number) + world.chance.between(-3, 3)
            for indicator in found["spec"]["indicators"]:
                scale = 20.0 if indicator["name"].startswith("output") else 1.0
                sample = [stamp(moment_s - 30.0), load * scale]
                entries.append(
                    {
                        "namespace": NAMESPACE, "workload": name,
                        "indicator": indicator["name"], "samples": [sample],
                    }
                )  # fmt: skip
        return orjson.dumps({"observations": entries})

    def _note_active(self) -> None:
        statement = text("SELECT name FROM workloads WHERE is_active")
        with self.world.engine.connect() as connection:
            names = frozenset(row.name for row in connection.execute(statement))
        self.active.append((self.world.now_s, names))

    def _note_made(self) -> None:
        world = self.world
        newest = max(self.made, default=0)
        statement = text(
            "SELECT d.*, w.name FROM decisions d JOIN workloads w ON w.id = d.workload_id "
            "WHERE d.id > :id ORDER BY d.id"
        )
        with world.engine.connect() as connection:
            rows = list(connection.execute(statement, {"id": newest}).mappings())
        for row in rows:
            parts = {f"{row['name']}-{v['name']}": v["desired"] for v in row["variants"] or ()}
            gone = world.cluster.gone_autoscalers
            found = world.cluster.autoscalers.get(row["name"]) or gone[row["name"]]
            (target, _), *_ = targets_of(found)
            decided_s = (row["decided_at"] - START).total_seconds()
            origin_s = (row["origin_at"] - START).total_seconds()
            guards = [str(g["guard"]) for g in row["explanation"].get("guard_trace", ())]
            by_budget = "gpu_budget" in (row["binding_constraint"], *guards)
            self.made[row["id"]] = Made(
                row["id"], row["name"], origin_s, decided_s, decided_s,
                parts or {target: row["desired_replicas"]}, by_budget,
            )  # fmt: skip
        world.note(None, f"{len(rows)} decisions up to {max(self.made, default=0)}")


@dataclass
class Account:
    """What became of each origin of each workload.

    Attributes:
        n_decided: It has one forecast and one decision.
        n_passed: A newer one passed it before its turn came: that is recorded, and a job was lost
            or failed, or autoscalers came, went or were all away, within a step before and two
            after.
        n_away: Its autoscaler was not registered then, or until three steps later.
        wrong: All others, and what came twice.
    """

    n_decided: int = 0
    n_passed: int = 0
    n_away: int = 0
    wrong: list[str] = field(default_factory=list)


def account(world: World, engine: Engine, until_s: float) -> Account:
    """Every origin of every workload from its shard's first forecast on.

    What a shard has of the time before that is history: a resampling job does all steps that are
    due, and asks for the newest.
    """
    statement = text(
        "SELECT w.name, o.origin_at, (SELECT count(*) FROM forecasts f "
        "  WHERE f.workload_id = w.id AND f.origin_at = o.origin_at) AS n_forecasts, "
        "(SELECT count(*) FROM decisions d "
        "  WHERE d.workload_id = w.id AND d.origin_at = o.origin_at) AS n_decisions, "
        # nobody is urgent here
        "EXISTS (SELECT FROM superseded_origins s WHERE s.shard = w.shard "
        "  AND s.origin_at = o.origin_at AND NOT s.is_urgent) AS is_passed "
        "FROM workloads w CROSS JOIN LATERAL (SELECT generate_series((SELECT min(f.origin_at) "
        "  FROM forecasts f JOIN workloads own ON own.id = f.workload_id "
        "  WHERE own.shard = w.shard), :until, make_interval(secs => :step_s)) AS origin_at) o "
        "WHERE o.origin_at < :until ORDER BY 2, 1"
    )
    found = Account()
    with engine.connect() as connection:
        rows = connection.execute(statement, {"until": at(until_s), "step_s": STEP_S}).all()
    for row in rows:
        counts = (row.n_forecasts, row.n_decisions)
        if counts == (1, 1):
            found.n_decided += 1
        elif max(counts) <= 1 and row.is_passed and _was_troubled(world, row.origin_at):
            found.n_passed += 1
        elif max(counts) <= 1 and _was_away(world, row.name, row.origin_at):
            found.n_away += 1
        else:
            passed = ", passed" if row.is_passed else ""
            what = f"{counts[0]} forecasts, {counts[1]} decisions{passed}"
            found.wrong.append(f"{row.name} {row.origin_at:%H:%M}: {what}")
    return found


def _was_troubled(world: World, origin_at: datetime) -> bool:
    origin_s = (origin_at - START).total_seconds()
    from_s, until_s = origin_s - STEP_S, origin_s + 2.0 * STEP_S
    names = {names for at_s, names in world.source.active if from_s <= at_s <= until_s}
    troubles_s = world.source.worker.line.troubles_s
    is_changed = len(names) > 1 or frozenset() in names  # nobody asks for nobody
    # the operator crashed or hung: it is complete from the end of its step on, and nobody asked
    asked_s = [at_s for at_s, _ in world.source.active]
    is_unasked = not any(origin_s + STEP_S <= at_s < until_s for at_s in asked_s)
    return is_changed or is_unasked or any(from_s <= at_s <= until_s for at_s in troubles_s)


def _was_away(world: World, name: str, origin_at: datetime) -> bool:
    origin_s = (origin_at - START).total_seconds()
    turns = world.source.active
    return any(
        name not in names for at_s, names in turns if origin_s <= at_s <= origin_s + 4.0 * STEP_S
    )
