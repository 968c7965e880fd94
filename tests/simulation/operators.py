"""One operator process of a simulation: the product's loop, fence, lease and client, restarted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from services.operator.kube.client import KubeClient
from services.operator.leadership.leader import Elector, Timing
from services.operator.leadership.lease import Fence, LeaseKeeper, LeaseStore
from services.operator.listener import ReconcileLoop
from services.operator.reconcile.memory import OperatorDeps, Pace
from services.operator.wire.http import RequestSettings
from tests.simulation.api_server import SimulatedHttp
from tests.simulation.chance import Crash

if TYPE_CHECKING:
    from tests.simulation.world import World


class WatchedConnection:
    """A connection whose statements are effects."""

    def __init__(self, inner: Any, process: OperatorProcess) -> None:
        self._inner = inner
        self._process = process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        self._process.world.statement(self._process, getattr(statement, "text", "SELECT"))
        return self._inner.execute(statement, parameters)


class WatchedEngine:
    """A process's engine: statements and commits are effects, and fail by chance."""

    def __init__(self, inner: Any, process: OperatorProcess) -> None:
        self._inner = inner
        self._process = process

    @property
    def url(self) -> Any:
        return self._inner.url

    @contextmanager
    def connect(self) -> Iterator[WatchedConnection]:
        with self._transaction() as inner:
            yield WatchedConnection(inner, self._process)

    @contextmanager
    def begin(self) -> Iterator[WatchedConnection]:
        world = self._process.world
        with self._transaction() as inner:
            yield WatchedConnection(inner, self._process)
            is_lost = world.begins_commit(self._process)
            inner.commit()
        world.ends_commit(self._process, is_lost)

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        process = self._process
        process.world.connects(process)
        process.has_transaction = True
        try:
            with self._inner.connect() as inner:
                yield inner
        finally:
            process.has_transaction = False


class OperatorProcess:
    """An operator that can end at any effect, and comes back with an empty memory."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.n_starts = 0
        self.up_at_s = 0.0
        self.is_up = False
        self.has_transaction = False
        self.cut_off_until_s = -1.0
        self.stopped_until_s = -1.0
        self.is_in_pass = False
        self.pass_began_s = 0.0
        self.start()

    @property
    def label(self) -> str:
        return f"{self.name}{self.n_starts}"

    @property
    def is_cut_off(self) -> bool:
        """True while its requests for the Lease do not arrive."""
        return self.world.now_s < self.cut_off_until_s

    @property
    def term(self) -> int | None:
        """The term for which it leads now."""
        return self.keeper.term() if self.is_up else None

    def start(self) -> None:
        world = self.world
        self.n_starts += 1
        self.is_up, self.is_in_pass, self.has_transaction = True, False, False
        store = LeaseStore(SimulatedHttp(world, self, RequestSettings(5, 5, ())), "ops", "lease")
        elector = Elector(self.label, Timing(15, 10.0, 2.0))
        self.keeper = LeaseKeeper(store, elector, monotonic=lambda: world.now_s, cluster="default")
        self.fence = Fence(self.keeper)
        self.keeper.on_change = lambda: self.loop.wake()
        http = SimulatedHttp(world, self, RequestSettings(may_send=self.fence.is_open))
        engine: Any = WatchedEngine(world.engine, self)
        self.deps = OperatorDeps(
            engine,
            KubeClient(http),
            world.clock,
            world.settings,
            pace=Pace(budget_s=10.0),
            may_write=self.fence.is_open,
        )
        self.loop = ReconcileLoop(self.deps, self.fence, is_quick=True)

    def renew(self) -> None:
        """The turn of the thread that keeps the Lease."""
        if self.is_up and self.world.now_s >= self.stopped_until_s:
            self.keeper.turn()

    def turn(self) -> None:
        """One turn of the loop; a crash ends the process."""
        if not self.is_up or self.is_in_pass or self.world.now_s < self.stopped_until_s:
            return
        self.is_in_pass = True
        self.pass_began_s = self.world.now_s
        self.world.watch.begins(self)
        try:
            self.loop.turn()
        except Crash as crash:
            self.is_up = False
            self.up_at_s = self.world.now_s + self.world.chance.seconds(0.5, 40.0)
            self.world.note(self, f"CRASH {crash}")
            self.world.outside.fulfil()
        else:
            self.world.watch.ends(self)
        self.is_in_pass = False
