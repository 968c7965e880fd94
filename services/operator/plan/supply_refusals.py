"""Which pools and node groups of a type refuse nodes, and which of them still add some; pure.

A refusal is one of its pool or node group. The type is refused where all of them refuse that have
room left: a spot pool without capacity says nothing of the on-demand pool beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.operator.plan.provisioning import (
    NodeStartup,
    Provisioning,
    ProvisioningSigns,
    attempt,
    follow,
)


@dataclass(frozen=True, slots=True)
class SupplySource:
    """One pool or node group, as a pass sees it.

    Attributes:
        name: As conditions name it, `NodePool/a` or `node group a`.
        room: GPUs that nodes to come of it may bring; None: not known.
        state: What came of what was asked of it.
        may_ask: Pods may be made to wait for its nodes now.
    """

    name: str
    room: int | None
    state: Provisioning
    may_ask: bool = True

    @property
    def is_closed(self) -> bool:
        """True where it refused, and until its next try no new node of it counts."""
        return self.state.is_refused and not self.may_ask

    def at(self, state: Provisioning, now: datetime) -> SupplySource:
        """The same at another state."""
        return replace(self, state=state, may_ask=state.may_ask(now))


def follow_sources(
    before: Mapping[str, Provisioning],
    of_type: Provisioning,
    seen: Mapping[str, ProvisioningSigns],
    startup: NodeStartup,
    now: datetime,
) -> dict[str, Provisioning]:
    """State of each source after what was seen of it.

    Args:
        before: States by name.
        of_type: State of their type: what was said before it was settled is settled for a source
            that nothing is known of.
        seen: Signs by name, without pods that wait: nobody knows for which of them.
        startup: Of the type.
        now: Aware.
    """
    fresh = Provisioning(settled_at=of_type.settled_at)
    return {
        name: follow(before.get(name, fresh), signs, startup, now) for name, signs in seen.items()
    }


def follow_type(
    state: Provisioning,
    sources: Sequence[SupplySource],
    seen: ProvisioningSigns,
    startup: NodeStartup,
    now: datetime,
) -> Provisioning:
    """State of the type after what was seen of its sources.

    Args:
        state: Before.
        sources: All of them; empty: nobody knows where nodes come from.
        seen: Pods that wait and nodes that came, of the type as a whole.
        startup: Of the type.
        now: Aware.
    """
    counted = with_room(sources)
    refused = [each for each in counted if each.state.is_refused]
    if counted and len(refused) == len(counted):
        said = [each.state.said_at for each in refused if each.state.said_at is not None]
        seen = replace(seen, refusal_at=max(said, default=None), refusal=words_of(refused))
    elif counted:
        # one that does not refuse still adds nodes: as good as one that was launched just now
        seen = replace(seen, launched_at=now)
    state = follow(state, seen, startup, now)
    closed = [each.state.retry_at for each in counted if each.is_closed]
    if state.is_refused and state.retry_at is not None and counted and len(closed) == len(counted):
        first_at = min(at for at in closed if at is not None)
        return replace(state, retry_at=max(state.retry_at, first_at))
    return state


def released(source: SupplySource, now: datetime) -> SupplySource:
    """A source of whose type a node came, and nobody knows from where."""
    return source.at(Provisioning(source.state.n_refused // 2, settled_at=now), now)


def tried(
    sources: Iterable[SupplySource], startup: NodeStartup, now: datetime
) -> dict[str, Provisioning]:
    """States once pods are made to wait: those whose turn it is have had it."""
    return {
        each.name: attempt(each.state, startup, now) if each.may_ask else each.state
        for each in sources
    }


def with_room(sources: Sequence[SupplySource]) -> list[SupplySource]:
    """Those that may have more nodes, or all of them where none may."""
    return [each for each in sources if each.room != 0] or list(sources)


def words_of(sources: Iterable[SupplySource]) -> str:
    """Which of them refuse, and why."""
    found = [each for each in sources if each.state.is_refused]
    return "; ".join(
        each.state.why if each.name in each.state.why else f"{each.name}: {each.state.why}"
        for each in found
    )
