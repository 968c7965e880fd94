"""State that the operator keeps between two passes, and its dependencies.

Everything here can be lost: the next pass reads it again from the cluster and the database. It is
changed only after the transaction that it mirrors has committed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from services.kernel.clock import Clock
from services.kernel.settings import Settings
from services.operator.cluster.free_gpus import Fitting
from services.operator.cluster.node_sources import ToldPool
from services.operator.cluster.ownership import Owner
from services.operator.cluster.pods import Replicas
from services.operator.cluster.targets import TargetProblem, TargetState
from services.operator.devices.counted_gpus import as_counted, budget_types, gpus_asked
from services.operator.kube.client import KubeClient, Scale
from services.operator.kube.failing_patches import FailingPatch
from services.operator.kueue.gates import Gate
from services.operator.plan.buffers import Advised
from services.operator.plan.interruptions import SpotCount, SpotNode
from services.operator.plan.plan import StoredDecision
from services.operator.plan.provisioning import NodeWaits, Provisioning
from services.operator.report.facts import Details, HistoryFigures
from services.operator.report.status import TakenAction
from services.operator.resource.autoscaler import Autoscaler, Key, TargetKey
from services.operator.resource.translate import stored_spec

_SETTLE_S = 60.0
_LONGEST_UNREAD = timedelta(seconds=30)
_LONGEST_STALL = timedelta(minutes=5)
"""No list is older than this: a copy that hears nothing for so long is no longer relied upon."""


@dataclass(frozen=True, slots=True)
class KnownStart:
    """A pod that has been seen.

    Attributes:
        is_stored: False for one that was ready before anyone could see it start.
        bound_at: When it was given a node, once that is stored.
        is_new_node: The node came after the pod was asked for; None: not known.
        cause: What the start had to do first; None: not known.
        refused_at: Since when it is known that no node comes for it; None: one may come, or came.
    """

    workload_id: int
    gpu_type: str
    requested_at: datetime
    is_ready: bool
    is_stored: bool = True
    bound_at: datetime | None = None
    is_new_node: bool | None = None
    cause: str | None = None
    refused_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Translated:
    """A translated autoscaler with what it was made from, and its spec to be stored, as JSON.

    Attributes:
        known: How it counts under budgets, by what its targets' pods ask for and which there are.
    """

    source: tuple[Any, ...]
    autoscaler: Autoscaler
    spec: bytes | None
    known: dict[Any, Translated] = field(default_factory=dict, compare=False, repr=False)

    def counted(
        self, states: Mapping[TargetKey, TargetState], budget_types: tuple[str, ...]
    ) -> Translated:
        """As it counts under budgets; the spec of one that counts as it states is not made anew."""
        asked = gpus_asked(self.autoscaler, states)
        found = self.known.get((asked, budget_types))
        if found is None:
            own = as_counted(self.autoscaler, asked, budget_types)
            is_same = own.spec is self.autoscaler.spec
            spec = self.spec if is_same else stored_spec(own.spec)
            found = replace(self, autoscaler=own, spec=spec, known={})
            self.known.clear()
            self.known[asked, budget_types] = found
        return found


@dataclass(frozen=True, slots=True)
class UnreadScale:
    """Why a `/scale` cannot be read: since when, and when that was tried last."""

    problem: TargetProblem
    since: datetime
    at: datetime

    def is_due(self, now: datetime) -> bool:
        """True where it is to be tried again: after as long as it has failed."""
        return now - self.at >= min(self.at - self.since, _LONGEST_UNREAD)


@dataclass(frozen=True, slots=True)
class KnownScale:
    """The `/scale` of a target as of a version of the target."""

    resource_version: str
    scale: Scale | UnreadScale

    def is_of(self, version: str, now: datetime) -> bool:
        """False where it is to be read again."""
        is_due = isinstance(self.scale, UnreadScale) and self.scale.is_due(now)
        return self.resource_version == version and not is_due


@dataclass(frozen=True, slots=True)
class KnownRollout:
    """The progress that a target reports of its roll-out, unchanged since `since`."""

    progress: str
    since: datetime


@dataclass(frozen=True, slots=True)
class PatchedScale:
    """What is known of a target beyond what was listed.

    Attributes:
        older_versions: Versions of the target from before: a list that shows one of them is out of
            date.
        replicas: Count that it was patched to, or was read at since.
        at: When that was.
        version: Version at which it has that count, as the API server said; empty: it did not.
    """

    older_versions: tuple[str, ...]
    replicas: int
    at: datetime
    version: str = ""

    def is_news_to(self, state: TargetState) -> bool:
        """True where the target was listed before this was known."""
        return state.resource_version in self.older_versions

    def is_of_use(self, state: TargetState | None, now: datetime) -> bool:
        """False where a later version was listed, and where a list must have been made since.

        Args:
            state: The target as it is shown; None: it was not looked up.
            now: Aware.
        """
        if state is None:
            return now - self.at < _LONGEST_STALL
        is_shown = bool(self.version) and state.resource_version == self.version
        return is_shown or self.is_news_to(state)

    def applied_to(self, state: TargetState) -> TargetState:
        """The target as it is known, where it was listed before that."""
        if not self.version or not self.is_news_to(state):
            return state
        return replace(state, replicas=self.replicas, resource_version=self.version)


@dataclass(frozen=True, slots=True)
class SeenSpot:
    """What is known of spot nodes.

    Attributes:
        counts: Interruptions by GPU type.
        nodes: The nodes of each as they were seen last, by uid.
        stored_at: When the counts were stored last; None: not by this process.
    """

    counts: Mapping[str, SpotCount] = field(default_factory=dict)
    nodes: Mapping[str, Mapping[str, SpotNode]] = field(default_factory=dict)
    stored_at: datetime | None = None


State = tuple[datetime, Replicas, str]
"""Step, replicas, and the identity of a stored snapshot beyond these."""


@dataclass(slots=True)
class Watermark:
    """Up to which id all decisions have been seen.

    Ids are drawn before their transaction commits, so a smaller id may appear after a greater
    one; an id counts as seen only a minute after a greater one was, and once all before it are
    settled.
    """

    after_id: int = 0
    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, at_s: float, max_id: int, open_ids: Collection[int] = ()) -> None:
        """A pass at monotonic time `at_s` saw decisions up to `max_id` and left some open."""
        settled = min([max_id, *(id_ - 1 for id_ in open_ids)])
        if settled > (self._seen[-1][1] if self._seen else self.after_id):
            self._seen.append((at_s, settled))
        while self._seen and self._seen[0][0] <= at_s - _SETTLE_S:
            if open_ids and self._seen[0][1] > settled:
                return  # one that came late is open: a greater id was seen before it
            self.after_id = self._seen.popleft()[1]


@dataclass(slots=True)
class Memory:
    """State between passes.

    Attributes:
        specs: Version of each workload's stored spec with the spec as JSON; None: it is one that
            no autoscaler has now.
        starts: Pods seen and not gone; None: to be read from the database.
        links: Owners by the uid of what they own, by kind of the latter.
        scales: Scales of targets of custom kinds, by the target's uid.
        rollouts: Roll-outs under way, by the target's uid.
        newest: Newest decision of each workload; None: to be read from the database.
        states: Step and replicas of the newest stored snapshot of each workload.
        unwritten: Action rows whose transaction failed after the target was patched.
        settled: Intents, by decision and attempt, that go in the same transaction as those rows.
        kills: Uids of killed pods that are stored, or are nobody's.
        patched: The newest patch of each target, until a list shows a later version.
        failing: Targets whose scale could not be patched when that was tried last, and why; of kind
            Pod, without a name: namespaces whose pods could not be marked.
        n_left: Scalings that were not tried yet since others failed slowly.
        details: What the status shows, with the monotonic time of reading.
        figures: The same of the figures over the history, which are read less often.
        request_times: Seconds that 1 % of the requests took at least, by workload, None where
            unknown, with the monotonic time of reading.
        reported_s: Monotonic time at which each status was written, or could not be, last.
        written: Digest of each status as it was written last.
        unreported: Actions by workload id that its status does not show yet, oldest first.
        unwritten_budgets: Names of GPUBudgets whose status could not be written.
        budgets_read_at: When the GPUBudgets were listed last; None: never yet.
        budget_types: GPU types of which there was a budget then.
        supply: What came of what was asked of each GPU type's supply; None: to be read from the
            database.
        supply_sources: The same of each pool and node group, by GPU type and name. It is not
            stored: who adds nodes says it again.
        waits: How long pods waited for nodes, by GPU type, with the time that was read at.
        advised: GPUs of headroom that were advised lately, by GPU type.
        spot: Spot nodes and their interruptions; None: to be read from the database.
        gates: Scheduling gates of pods that are or were held, by uid.
        told_pools: What nodes, those that are gone too, told of the pools that they came from.
        fitting: Since when pods of others that wait for a node have fitted on one.
    """

    translated: dict[str, Translated] = field(default_factory=dict)
    specs: dict[int, tuple[int, bytes | None]] = field(default_factory=dict)
    starts: dict[str, KnownStart] | None = None
    links: dict[str, dict[str, Owner | None]] = field(default_factory=dict)
    scales: dict[str, KnownScale] = field(default_factory=dict)
    rollouts: dict[str, KnownRollout] = field(default_factory=dict)
    newest: dict[int, StoredDecision] | None = None
    states: dict[int, State] = field(default_factory=dict)
    unwritten: list[tuple[Any, ...]] = field(default_factory=list)
    settled: list[tuple[int, int]] = field(default_factory=list)
    kills: frozenset[str] = frozenset()
    patched: dict[TargetKey, PatchedScale] = field(default_factory=dict)
    failing: dict[TargetKey, FailingPatch] = field(default_factory=dict)
    n_left: int = 0
    details: dict[int, tuple[float, Details]] = field(default_factory=dict)
    figures: dict[int, tuple[float, HistoryFigures]] = field(default_factory=dict)
    request_times: dict[int, tuple[float, float | None]] = field(default_factory=dict)
    reported_s: dict[Key, float] = field(default_factory=dict)
    written: dict[Key, bytes] = field(default_factory=dict)
    unreported: dict[int, tuple[TakenAction, ...]] = field(default_factory=dict)
    watermark: Watermark = field(default_factory=Watermark)
    unwritten_budgets: set[str] = field(default_factory=set)
    budgets_read_at: datetime | None = None
    budget_types: tuple[str, ...] = ()
    supply: dict[str, Provisioning] | None = None
    supply_sources: dict[str, Mapping[str, Provisioning]] = field(default_factory=dict)
    waits: tuple[datetime, Mapping[str, NodeWaits]] | None = None
    advised: dict[str, Advised] = field(default_factory=dict)
    spot: SeenSpot | None = None
    gates: dict[str, Gate] = field(default_factory=dict)
    told_pools: tuple[ToldPool, ...] = ()
    fitting: Fitting = field(default_factory=dict)

    def drop_patched(self, states: Mapping[TargetKey, TargetState], now: datetime) -> None:
        """Forget what was patched where the list of targets says more by now."""
        self.patched = {
            key: patched
            for key, patched in self.patched.items()
            if patched.is_of_use(states.get(key), now)
        }

    def counted(
        self,
        translated: Sequence[Translated],
        states: Mapping[TargetKey, TargetState],
        budgets: Sequence[Mapping[str, Any]] | None,
    ) -> list[Translated]:
        """Autoscalers as they count under budgets; None: those of before hold, now unreadable."""
        if budgets is not None:
            self.budget_types = budget_types(budgets)
        return [entry.counted(states, self.budget_types) for entry in translated]

    def note_failing(self, key: TargetKey, failed: FailingPatch) -> None:
        """A patch failed; since when it has is kept, for as long as that is known."""
        before = self.failing.get(key)
        if before is not None and before.is_known(failed.at):
            failed = replace(failed, since=before.since)
        self.failing[key] = failed

    def forget(self) -> None:
        """Read everything again at the next pass.

        Kept are actions that are not stored or not reported yet, what was patched or could not be,
        roll-outs, gates and pods of others (how long one has hung, held or fitted cannot be read
        again) and what nodes told.
        """
        done = ("unwritten", "settled", "patched", "failing", "unreported")
        names = (*done, "rollouts", "gates", "told_pools", "fitting")
        kept = {name: getattr(self, name) for name in names}
        self.__init__(**kept)  # type: ignore[misc]  # a dataclass's own constructor resets the rest


@dataclass(frozen=True, slots=True)
class Pace:
    """Intervals at which statuses are read and written, in wall seconds.

    Attributes:
        figures_s: A status of which figures alone moved waits at least this long.
        change_s: One whose replicas, results or conditions changed waits at least this long.
        budget_s: A pass spends at most this long on statuses, then leaves the rest to the next
            one, so that reports never hold up a scaling.
        history_s: Figures over a week of steps and many starts are read this often: one step
            hardly moves them.
    """

    figures_s: float = 30.0
    change_s: float = 1.0
    budget_s: float = 0.1
    history_s: float = 300.0


@dataclass(frozen=True, slots=True)
class OperatorDeps:
    """Dependencies of a pass.

    Attributes:
        pace: Intervals at which statuses are written.
        may_write: True while this process leads.
        apply_waiting: Called between the parts of long work, so that decisions that have arrived
            need not wait for its end.
    """

    engine: Engine
    kube: KubeClient
    clock: Clock
    settings: Settings
    memory: Memory = field(default_factory=Memory)
    pace: Pace = field(default_factory=Pace)
    may_write: Callable[[], bool] = lambda: True
    apply_waiting: Callable[[], None] = lambda: None
