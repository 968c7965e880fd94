"""GPUs of budgets, queues and quotas while one pass hands them out; pure.

A budget is kept by what is *held*, not by what is asked for: GPUs of a target that was lowered are
free once its pods are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.operator.cluster.quotas import GpuQuota
from services.operator.kueue.queue_room import QueueRoom


@dataclass(frozen=True, slots=True)
class TargetUse:
    """One target under a budget.

    Attributes:
        gpus_per_replica: GPUs of one replica.
        spec: Replicas that it asks for.
        staying: Replicas that exist and whose deletion has not begun.
        leaving: Replicas whose deletion has begun.
        least: Its minimum. Where the minima of a type alone exceed the budget, they come first.
    """

    gpu_type: str
    gpus_per_replica: int
    spec: int
    staying: int = 0
    leaving: int = 0
    least: int = 0

    def held(self, spec: int | None = None) -> int:
        """GPUs that it holds, or would hold if it asked for `spec` replicas.

        A replica that was asked for holds its GPUs before its pod exists, and one that is not asked
        for any longer until its pod is gone.
        """
        asked = self.spec if spec is None else spec
        return self.gpus_per_replica * (max(asked, self.staying) + self.leaving)


@dataclass(frozen=True, slots=True)
class GpuGrant:
    """The count that a rise may go to now, and why no further; empty: as far as it wants."""

    count: int
    reason: str = ""


@dataclass(slots=True)
class GpuRoom:
    """Budgets, what is held of them and what is asked for, kept up as scalings are granted.

    Attributes:
        budgets: GPUs by type; None: could not be read; a type that is absent has no budget.
    """

    budgets: Mapping[str, int | None]
    _held: dict[str, int] = field(default_factory=dict)
    _asked: dict[str, int] = field(default_factory=dict)
    _least: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, budgets: Mapping[str, int | None], uses: Iterable[TargetUse]) -> GpuRoom:
        """The room that targets leave before anything is granted."""
        room = cls(budgets)
        for use in uses:
            room._add(use.gpu_type, use.held(), use.gpus_per_replica * use.spec)
            least = room._least.get(use.gpu_type, 0) + use.gpus_per_replica * use.least
            room._least[use.gpu_type] = least
        return room

    def held(self, gpu_type: str) -> int:
        """GPUs of a type that targets hold, with what was granted so far."""
        return self._held.get(gpu_type, 0)

    def lower(self, use: TargetUse, count: int) -> None:
        """A target will ask for fewer replicas; what it holds is free later."""
        self._add(use.gpu_type, 0, use.gpus_per_replica * (count - use.spec))

    def grant(self, use: TargetUse, wanted: int, *, takes_part: bool) -> GpuGrant:
        """GpuGrant a rise as far as it fits now.

        While the pods of scalings-in will make room for all of it, it waits for them as a whole.

        Args:
            use: The target as it is.
            wanted: Replicas that it is to ask for, more than now.
            takes_part: It waited long enough: what fits is better than nothing.
        """
        if use.gpu_type not in self.budgets:
            return GpuGrant(wanted)
        budget = self.budgets[use.gpu_type]
        if budget is None:
            return GpuGrant(use.spec, f"the GPUBudget of {use.gpu_type} cannot be read")
        count = self._fitting(use, wanted, budget)
        held = self._held.get(use.gpu_type, 0)
        added = use.gpus_per_replica * (wanted - use.spec)
        will_fit = self._asked.get(use.gpu_type, 0) + added <= budget
        if count < wanted and will_fit and not takes_part:
            count = use.spec
        if self._least.get(use.gpu_type, 0) > budget:
            count = max(count, min(wanted, use.least))
        taken = use.held(count) - use.held()
        self._add(use.gpu_type, taken, use.gpus_per_replica * (count - use.spec))
        if count == wanted:
            return GpuGrant(count)
        return GpuGrant(count, f"{budget} GPUs of {use.gpu_type} are allowed and {held} still held")

    def _fitting(self, use: TargetUse, wanted: int, budget: int) -> int:
        """Replicas within what is free, and within what will be when nothing leaves any more.

        Replicas that stand although they are not asked for any longer may be asked for again, as
        far as the budget has room for all that is asked for.
        """
        free = budget - self._held.get(use.gpu_type, 0)
        room = budget - self._asked.get(use.gpu_type, 0)
        there = max(use.spec, use.staying)
        now = there + max(0, free // use.gpus_per_replica)
        later = use.spec + max(0, room // use.gpus_per_replica)
        return min(wanted, now, later)

    def _add(self, gpu_type: str, held: int, asked: int) -> None:
        self._held[gpu_type] = self._held.get(gpu_type, 0) + held
        self._asked[gpu_type] = self._asked.get(gpu_type, 0) + asked


@dataclass(frozen=True, slots=True)
class SharedGpus:
    """GPUs that targets draw on together: what a queue, its cohort or a ResourceQuota leaves.

    Attributes:
        name: Whose they are.
        gpus: What was left when it was read.
        message: What it follows from, and what would change it.
        kinds: Flavors, or resources, that the targets' pods may have of it.
        yields: A minimum outranks it: its pods are asked for, and wait.
    """

    name: str
    gpus: int
    message: str
    kinds: frozenset[str]
    yields: bool = False

    def is_of(self, other: SharedGpus) -> bool:
        """True where what one target draws is not left to the other."""
        return self.name == other.name and bool(self.kinds & other.kinds)


@dataclass(frozen=True, slots=True)
class Draw:
    """GPUs that are asked for of a room and were not counted there when it was read."""

    room: SharedGpus
    gpus: int


def drawn_beside(room: SharedGpus, draws: Iterable[Draw]) -> int:
    """GPUs that others draw on a room."""
    return sum(each.gpus for each in draws if each.room.is_of(room))


def shared_gpus(
    queue: QueueRoom | None, quota: GpuQuota | None, namespace: str
) -> tuple[SharedGpus, ...]:
    """What a target draws on together with others, as far as it is known.

    Args:
        queue: Of the queue that its pods are sent to.
        quota: The tightest of its namespace.
        namespace: Its own.
    """
    found = []
    if queue is not None and queue.gpus is not None:
        found.append(SharedGpus(queue.name, queue.gpus, queue.message, queue.flavors))
        if queue.cohort_gpus is not None:
            cohort = f"Cohort/{queue.cohort}"
            found.append(SharedGpus(cohort, queue.cohort_gpus, queue.message, queue.flavors))
    if quota is not None:
        name = f"ResourceQuota/{quota.name}"
        told = f"{name} leaves {quota.free} of {quota.hard} {quota.resource}; raise it for more"
        kinds = frozenset({quota.resource})
        found.append(SharedGpus(f"{name} of {namespace}", quota.free, told, kinds, yields=True))
    return tuple(found)
