"""A simulated world: a cluster, a database, two operators, and chance that says what comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import psycopg
import structlog
from sqlalchemy.exc import OperationalError

from services.kernel.settings import Settings
from services.operator import listener
from services.operator.kube import client
from services.operator.leadership import lease
from services.operator.reconcile import (
    apply_decisions,
    patch_scales,
    reconcile_pass,
    report_statuses,
)
from services.operator.wire.http import Call
from tests.simulation.chance import OF_SEED, PROFILES, QUIET, Chance, Crash, Faults, Journal, Stop
from tests.simulation.cluster import Cluster, at
from tests.simulation.invariants import Watch
from tests.simulation.memory_store import MemoryEngine
from tests.simulation.operators import OperatorProcess
from tests.simulation.outside import Outside
from tests.simulation.source import DecisionSource
from tests.simulation.statements import HANDLERS
from tests.simulation.store import MemoryRows, PostgresRows

STEP_S = 60
_TICK_S = 5.0
_APART, _IS_APART = 6.0, 0.2
"""How many times farther apart the passes of some runs are, and of how many."""
_OF_PARTITIONS = ("pg_class", "LIMIT 0")
"""Statements that depend on what this process has done before, and not on the run."""


class Violation(AssertionError):
    """An invariant that does not hold, with what it takes to run it again."""


@dataclass(frozen=True)
class Size:
    """How large a run is.

    Attributes:
        n_steps: Steps of a minute, with faults.
        n_quiet: Steps without faults after that.
        every_s: Seconds between two passes that nobody asks for.
    """

    n_workloads: int = 6
    n_steps: int = 24
    n_quiet: int = 14
    every_s: float = 15.0


SMALL = Size()
LARGE = Size(n_workloads=20, n_steps=200)


@dataclass(frozen=True)
class Hung:
    """A webhook that does not answer.

    Attributes:
        seconds: How long a patch takes that it is asked about.
        status: What the API server answers then; 0: nothing.
    """

    seconds: float
    status: int


class WorldClock:
    """The product's clock."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        return at(self._world.now_s)


@dataclass
class World:
    """Everything of one run."""

    seed: int
    size: Size = SMALL
    faults: Faults = OF_SEED
    engine: Any = None
    now_s: float = 0.0
    api_away_until_s: float = -1.0
    database_away_until_s: float = -1.0
    n_crashes: int = 0
    n_faults: int = 0
    n_waiting: int = 0
    step: int = 0
    make_source: Callable[[World], Any] = DecisionSource
    lists: dict[str, list[tuple[float, bytes]]] = field(default_factory=dict)
    late: list[tuple[float, OperatorProcess, Call, float]] = field(default_factory=list)
    hung: dict[str, Hung] = field(default_factory=dict)
    unanswered_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.faults is OF_SEED:
            self.faults = PROFILES[self.seed % len(PROFILES)]
        self.chance = Chance(self.seed)
        self.journal = Journal()
        self.engine = self.engine or MemoryEngine(HANDLERS)
        is_memory = isinstance(self.engine, MemoryEngine)
        self.store = MemoryRows(self.engine) if is_memory else PostgresRows(self.engine)
        self.clock = WorldClock(self)
        # a fleet whose passes are far apart lives by decision passes in between
        self.every_s = self.size.every_s * (_APART if self.chance.happens(_IS_APART) else 1.0)
        self.settings = Settings(
            step_s=STEP_S,
            reconcile_interval_s=self.every_s,
            database_url="postgresql://simulated/none",  # nothing connects: engines are given
        )
        self.cluster = Cluster(self.chance)
        self.outside = Outside(self)
        self.outside.build(self.size.n_workloads)
        self.source = self.make_source(self)
        self.watch = Watch(self)
        self.operators = [OperatorProcess(self, name) for name in ("A", "B")]
        self.is_hanging = False

    @property
    def again(self) -> str:
        """The command that runs it again."""
        if self.make_source is not DecisionSource:
            return f"python -m pytest tests/simulation/test_pipeline.py -k '{self.seed}'"
        return f"make simulate SEED={self.seed}" + (" ARGS=--large" if self.size == LARGE else "")

    # what happens

    def run(self) -> None:
        """All steps, then quiet ones.

        Raises:
            Violation: An invariant does not hold.
        """
        try:
            self._run()
        except Stop as stop:
            raise Violation(str(stop)) from None

    def run_without_end(self) -> None:
        """The steps with faults alone."""
        with simulated_time(self):
            for _ in range(self.size.n_steps):
                self._one_step()

    def _run(self) -> None:
        self.run_without_end()
        with simulated_time(self):
            self.faults = QUIET
            self._make_quiet()
            for _ in range(self.size.n_quiet):
                self._one_step()
            self.watch.at_the_end()

    def _make_quiet(self) -> None:
        self.note(None, "QUIET")
        self.hung.clear()
        self.api_away_until_s = self.database_away_until_s = -1.0
        for operator in self.operators:
            operator.cut_off_until_s = operator.stopped_until_s = -1.0
            operator.up_at_s = 0.0
        self.outside.make_quiet()
        self.source.is_quiet = True

    def _one_step(self) -> None:
        self.step += 1
        ends_s = self.step * STEP_S
        decides_s = self.now_s + self.chance.seconds(0.5, 20.0)
        is_decided = False
        while self.now_s < ends_s:
            self.pass_time(min(self.now_s + _TICK_S * self.chance.seconds(0.3, 1.3), ends_s))
            if not is_decided and self.now_s >= decides_s:
                is_decided = True
                self.source.decide()
            for operator in self.operators:
                operator.turn()

    def pass_time(self, until_s: float) -> None:
        """Let the world go on; the operators keep their leases meanwhile."""
        until_s = round(until_s, 3)
        while self.now_s < until_s:
            self.now_s = min(round(self.now_s + 2.0, 3), until_s)
            self.cluster.settle(self.now_s)
            for operator in self.operators:
                operator.renew()
            self.watch.leaders()
        self._arrive_late()
        self.source.store_kept()
        self._strike()
        for operator in self.operators:
            if not operator.is_up and self.now_s >= operator.up_at_s:
                operator.start()
                self.note(operator, "starts")

    def _arrive_late(self) -> None:
        due = [one for one in self.late if one[0] <= self.now_s]
        self.late = [one for one in self.late if one[0] > self.now_s]
        for _, process, call, began_s in due:
            self.note(process, f"arrives late: {call.path}")
            now_began_s, process.pass_began_s = process.pass_began_s, began_s
            process.deps.kube._http.carry_out(call)
            process.pass_began_s = now_began_s

    def _strike(self) -> None:
        chance, faults = self.chance, self.faults
        if chance.happens(faults.outage):
            self.api_away_until_s = self.now_s + chance.seconds(1.0, 40.0)
            self.note_fault(None, f"API server away until {self.api_away_until_s}")
        if chance.happens(faults.outage):
            self.database_away_until_s = self.now_s + chance.seconds(1.0, 40.0)
            self.note_fault(None, f"database away until {self.database_away_until_s}")
        for operator in self.operators:
            if chance.happens(faults.lease):
                operator.cut_off_until_s = self.now_s + chance.seconds(5.0, 40.0)
                self.note_fault(operator, f"cut off until {operator.cut_off_until_s}")
            if chance.happens(faults.lease / 2):
                operator.stopped_until_s = self.now_s + chance.seconds(5.0, 40.0)
                self.note_fault(operator, f"stopped until {operator.stopped_until_s}")
        self.outside.come_back()
        if chance.happens(faults.webhook):
            self._hang_webhook()
        if chance.happens(faults.outside):
            self.outside.change()

    def _hang_webhook(self) -> None:
        """The one that hangs answers again, or another one begins to hang."""
        if self.hung:
            self.hung.clear()
            self.note(None, "webhooks answer")
            return
        workload = self.chance.pick(sorted(set(self.watch.owner.values())))
        hung = Hung(self.chance.pick((10.0, 20.0)), self.chance.pick((500, 0)))
        self.hung = {t: hung for t, owner in self.watch.owner.items() if owner == workload}
        self.note_fault(None, f"the webhook of {workload} hangs: {hung}")

    # what the processes do

    def note(self, process: OperatorProcess | None, line: str) -> None:
        who = process.label if process is not None else "-"
        self.journal.note(f"{self.step} {self.now_s:.3f} {who} {line}")

    def note_fault(self, process: OperatorProcess | None, line: str) -> None:
        self.n_faults += 1
        self.note(process, line)

    def effect(self, process: OperatorProcess, kind: str, label: str) -> None:
        """Something is about to be done, or was done: the process may end or hang here."""
        self.note(process, f"{kind} {label}")
        faults = self.faults
        share = faults.crash_read if kind in ("read", "statement") else faults.crash_write
        if label.startswith("patch ") and "/scale" in label:
            share *= 8.0 if not self.is_hanging else 60.0  # two leaders at once: the likeliest harm
        if process.is_in_pass and self.chance.happens(share):
            self.n_crashes += 1
            self.n_faults += 1
            raise Crash(f"at {kind} {label}")
        # what hangs between the fence's look and the request is a request that arrives late
        may_hang = (
            kind not in ("statement", "write")
            and not process.has_transaction
            and not self.n_waiting
        )
        if may_hang and process.is_in_pass and self.chance.happens(faults.hang):
            self._hang(process)

    def _hang(self, process: OperatorProcess, with_results: bool = False) -> None:
        """The process waits while time passes and the other one works.

        One that has results to store waits until the other one leads.
        """
        seconds = (
            self.chance.seconds(25.0, 60.0) if with_results else self.chance.seconds(1.0, 30.0)
        )
        self.note_fault(process, f"hangs for {seconds} s")
        self.is_hanging = True
        if with_results or self.chance.happens(0.5):
            process.stopped_until_s = self.now_s + seconds
        self.wait(process, seconds)
        self.is_hanging = False

    def wait(self, process: OperatorProcess, seconds: float) -> None:
        """Time passes for one process, and the other one works."""
        self.n_waiting += 1
        ends_s = round(self.now_s + seconds, 3)
        while self.now_s < ends_s:
            self.pass_time(min(self.now_s + _TICK_S, ends_s))
            for other in self.operators:
                if other is not process:
                    other.turn()
        self.n_waiting -= 1

    def connects(self, process: OperatorProcess) -> None:
        is_operator = isinstance(process, OperatorProcess)  # the pipeline's worker has no results
        has_results = is_operator and process.is_in_pass and process.deps.memory.unwritten
        if has_results and not self.n_waiting and self.chance.happens(10.0 * self.faults.hang):
            self._hang(process, with_results=True)
        if self.now_s < self.database_away_until_s:
            self.note(process, "database away")
            raise failure("connection refused")

    def statement(self, process: OperatorProcess, sql: str) -> None:
        if any(word in sql for word in _OF_PARTITIONS):
            return
        label = " ".join(sql.split()[:3])
        self.effect(process, "statement", label)
        if self.chance.happens(self.faults.statement):
            self.note_fault(process, f"fails: {label}")
            raise failure(self.chance.pick(("out of memory", "could not serialize access")))

    def begins_commit(self, process: OperatorProcess) -> bool:
        """True where the commit will be carried out and its answer lost."""
        self.effect(process, "commit", "")
        if not self.chance.happens(self.faults.commit):
            return False
        is_lost = self.chance.happens(0.5)
        self.note_fault(process, "commit's answer is lost" if is_lost else "commit fails")
        if not is_lost:
            raise failure("server closed the connection")
        return True

    def ends_commit(self, process: OperatorProcess, is_lost: bool) -> None:
        self.watch.committed(process)
        self.effect(process, "committed", "")
        if is_lost:
            raise failure("server closed the connection")

    def patched(self, process: OperatorProcess, name: str, replicas: int) -> None:
        self.watch.before_patch(process, name, replicas)
        before = self.cluster.targets[name].replicas
        self.note(process, f"PATCHED {name} {before} -> {replicas}")
        done = self.cluster.write_count(name, replicas, process.label)
        self.watch.after_patch(process, done)

    def notify(self, channel: str) -> None:
        """Tell every operator; a notification may be lost."""
        for operator in self.operators:
            if operator.is_up and not self.chance.happens(self.faults.patch / 2):
                operator.loop.notified(channel)


def failure(reason: str) -> OperationalError:
    return OperationalError("simulated", None, psycopg.OperationalError(reason))


@contextmanager
def simulated_time(world: World) -> Iterator[None]:
    """Monotonic time of the product's modules, and no log lines."""
    fake = SimpleNamespace(monotonic=lambda: world.now_s, perf_counter=lambda: world.now_s)
    modules = (
        listener, client, apply_decisions, patch_scales, reconcile_pass, report_statuses,
    )  # fmt: skip
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    system: Callable[[], WorldClock] = lambda: world.clock  # noqa: E731
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(patch.object(module, "time", fake))
        stack.enter_context(patch.object(lease, "SystemClock", system))
        try:
            yield
        finally:
            structlog.configure(**before)
