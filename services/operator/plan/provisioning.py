"""What was asked of a supply of nodes and what came of it, with the waits in between; pure.

Nobody is told that there is no capacity for a node: it shows by a pod that waits longer than nodes
take, or by what the autoscaler of the nodes says of its attempt. After such a refusal no pod more
is made to wait until the back-off has passed; then one increase tries again. A node that comes ends
the back-off, and so does one that was launched after it was said that none could be: what adds
nodes goes on trying for the pods that wait already, so it knows first that there is capacity, a
whole start-up before the node is there. Each refusal doubles the next back-off and each node after
one halves it, so it follows how often this type is short.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from statistics import NormalDist

STARTUP_S = 300.0
"""Median from a pod's request to its node, where nothing states or shows it."""
_SIGMA = 0.5
_PRIOR_STARTS = 4.0
_PATIENCE_Z = 2.326
"""Standard normal quantile of 99 %."""
_NORMAL = NormalDist()
_N_ITERATIONS = 40
_MOST_TYPES = 64
"""GPU types whose laws are kept from one pass to the next."""
_STUCK_Z = 4.0
"""Deviations beyond which a wait is of no node that came late, but of none that came."""
_FAR_Z = 8.0
"""Beyond it the tail of a normal is reckoned by its series."""
_LEAST_WAIT_S = 60.0
_MOST_WAIT_S = 3600.0
_MOST_REFUSALS = 30


@dataclass(frozen=True, slots=True)
class NodeStartup:
    """Lognormal law of the time from a pod's request to its place on a new node.

    Attributes:
        n_seen: Starts that it was learned from.
    """

    median_s: float
    sigma: float
    n_seen: int

    @property
    def patience_s(self) -> float:
        """Time within which 99 % of the nodes come, by what is known."""
        spread = self.sigma * math.sqrt(1.0 + 1.0 / (_PRIOR_STARTS + self.n_seen))
        return self.median_s * math.exp(_PATIENCE_Z * spread)


@dataclass(frozen=True, slots=True)
class NodeWaits:
    """Seconds for which pods of a GPU type waited for a node.

    Attributes:
        ended: From the request of a pod to its place on a node that came for it.
        unended: Until a pod went for which none had come, or it was known that none can be had: a
            node takes longer than that.
    """

    ended: tuple[float, ...] = ()
    unended: tuple[float, ...] = ()


NO_WAITS = NodeWaits()


@lru_cache(maxsize=_MOST_TYPES)
def learn_startup(stated_s: float | None, waits: NodeWaits = NO_WAITS) -> NodeStartup:
    """The law after waits that were seen; what is stated counts for four of them.

    Waits in vain are right-censored data: each is taken to end as the law has it beyond its age,
    until law and ends agree (expectation-maximisation, as for lead times). They count as starts by
    the share of the law that they outlived, rounded down together. Pods that wait still tell
    nothing yet: they would put off the time at which their own wait is too long. One that was
    longer than practically any start-up says that none came (docs/decisions/0111).

    Args:
        stated_s: Median as stated; None: nothing is.
        waits: What was seen.
    """
    prior = math.log(stated_s or STARTUP_S)
    logs = [math.log(max(1.0, each)) for each in waits.ended]
    ages = _practical([math.log(max(1.0, each)) for each in waits.unended], stated_s, waits)
    weight = _PRIOR_STARTS + len(logs) + len(ages)
    mean, sigma = prior, _SIGMA
    for _ in range(_N_ITERATIONS if ages else 1):
        beyond = [_beyond((age - mean) / sigma) for age in ages]
        ends = [mean + sigma * first for first, _ in beyond]
        # of ends that are not known what they may differ from their mean adds to the variance
        unknown = sum(sigma**2 * max(0.0, second - first**2) for first, second in beyond)
        mean = (_PRIOR_STARTS * prior + sum(logs) + sum(ends)) / weight
        squares = sum((each - mean) ** 2 for each in (*logs, *ends)) + unknown
        squares += _PRIOR_STARTS * (prior - mean) ** 2
        sigma = math.sqrt((_PRIOR_STARTS * _SIGMA**2 + squares) / weight)
    outlived = sum(_NORMAL.cdf((age - mean) / sigma) for age in ages)
    return NodeStartup(math.exp(mean), sigma, len(logs) + math.floor(outlived))


def _practical(ages: list[float], stated_s: float | None, waits: NodeWaits) -> list[float]:
    """Logarithms of waits in vain, none longer than nearly all start-ups by the ended ones."""
    if not ages:
        return ages
    known = learn_startup(stated_s, NodeWaits(waits.ended))
    spread = known.sigma * math.sqrt(1.0 + 1.0 / (_PRIOR_STARTS + len(waits.ended)))
    most = math.log(known.median_s) + _STUCK_Z * spread
    return [min(age, most) for age in ages]


def _beyond(bound: float) -> tuple[float, float]:
    """First two moments of a standard normal given that it exceeds `bound`."""
    if bound > _FAR_Z:
        return bound + 1.0 / bound, bound**2 + 2.0
    hazard = _NORMAL.pdf(bound) / _NORMAL.cdf(-bound)
    return hazard, 1.0 + bound * hazard


@dataclass(frozen=True, slots=True)
class Provisioning:
    """State of the supply of one GPU type.

    Attributes:
        n_refused: Refusals that the back-off counts.
        refused_at: When the last one was seen; None: none since a node came.
        retry_at: Before it no further pod may be made to wait.
        attempted_at: When it was tried again; None: not since the first refusal.
        settled_at: When a node ended the last back-off: what was said before it is settled.
        why: What the last refusal said.
        said_at: When who adds nodes said it; None: pods waited for too long, or nobody knows any
            more.
    """

    n_refused: int = 0
    refused_at: datetime | None = None
    retry_at: datetime | None = None
    attempted_at: datetime | None = None
    settled_at: datetime | None = None
    why: str = ""
    said_at: datetime | None = None

    def may_ask(self, now: datetime) -> bool:
        """True where pods may be made to wait for a node."""
        return self.retry_at is None or now >= self.retry_at

    @property
    def is_refused(self) -> bool:
        """True where the last thing that was asked for did not come."""
        return self.refused_at is not None

    @property
    def is_trying(self) -> bool:
        """True while an attempt after a refusal is under way."""
        asked, refused = self.attempted_at, self.refused_at
        return asked is not None and refused is not None and asked > refused

    @property
    def refused_since(self) -> datetime | None:
        """Since when it counts as known that no node can be had; None: it does not.

        An attempt is made in spite of that: what it asked for was refused from the first moment,
        unless a node comes of it.
        """
        return (self.attempted_at or self.refused_at) if self.is_refused else None

    @property
    def none_since(self) -> datetime | None:
        """The same, as long as no attempt is under way: one may come of that."""
        return None if self.is_trying else self.refused_since


@dataclass(frozen=True, slots=True)
class ProvisioningSigns:
    """What was seen of the supply of a type.

    Attributes:
        waiting_since: Request of the oldest pod that waits for a node; None: none does.
        node_at: When the newest node came; None: there is none.
        refusal_at: When the newest refusal was said; None: none was.
        refusal: What it said.
        launched_at: When the provider last gave a node that is on its way or there; None: nobody
            tells.
    """

    waiting_since: datetime | None = None
    node_at: datetime | None = None
    refusal_at: datetime | None = None
    refusal: str = ""
    launched_at: datetime | None = None

    @property
    def refused_last(self) -> bool:
        """True where a refusal was said, and no node was given since: the newest word counts."""
        return self.refusal_at is not None and not _is_after(self.launched_at, self.refusal_at)

    def is_given(self, state: Provisioning) -> bool:
        """Whether it was seen since the refusal, or the attempt after it, that nodes can be had.

        A node that came says so. One that was launched says so where it was said that none could
        be, after that was said; where pods waited for too long it may be one more of those that
        never come. One that was launched before the newest refusal says nothing: the next one was
        refused.
        """
        asked_at = state.attempted_at if state.is_trying else None
        if _is_after(self.node_at, asked_at or state.refused_at):
            return True
        if state.said_at is None or self.refused_last:
            return False
        return _is_after(self.launched_at, asked_at or state.said_at)


def follow(
    state: Provisioning, seen: ProvisioningSigns, startup: NodeStartup, now: datetime
) -> Provisioning:
    """The state after what was seen by `now`."""
    if state.is_refused and seen.is_given(state):
        return Provisioning(state.n_refused // 2, settled_at=now)
    if state.is_refused and not state.is_trying:
        return state
    since = state.attempted_at if state.is_trying else state.settled_at
    why = _refusal(seen, since, startup, now)
    if not why:
        return state
    n_refused = min(state.n_refused + 1, _MOST_REFUSALS)
    return replace(
        state,
        n_refused=n_refused,
        refused_at=now,
        retry_at=now + backoff(n_refused, startup),
        why=why,
        said_at=seen.refusal_at if _is_said(seen, since) else None,
    )


def attempt(state: Provisioning, startup: NodeStartup, now: datetime) -> Provisioning:
    """The state once pods are made to wait: after a refusal, this is the one try of its turn."""
    if not state.is_refused:
        return state
    # until it is known what came of it, it counts as refused, and as long as nodes may take
    wait = max(backoff(state.n_refused + 1, startup), timedelta(seconds=startup.patience_s))
    return replace(state, attempted_at=now, retry_at=now + wait)


def backoff(n_refused: int, startup: NodeStartup) -> timedelta:
    """Wait after the n-th refusal: a node's usual start-up, doubled each time, an hour at most."""
    first_s = max(_LEAST_WAIT_S, startup.median_s)
    return timedelta(seconds=min(_MOST_WAIT_S, first_s * 2.0 ** (n_refused - 1)))


def _is_after(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one > other)


def _is_said(seen: ProvisioningSigns, since: datetime | None) -> bool:
    return seen.refused_last and _is_after(seen.refusal_at, since)


def _refusal(
    seen: ProvisioningSigns, since: datetime | None, startup: NodeStartup, now: datetime
) -> str:
    """Why what was asked for since then counts as refused; empty: it does not."""
    if _is_said(seen, since):
        return seen.refusal or "the autoscaler of the nodes does not say why"
    if seen.waiting_since is None:
        return ""
    begun = max(filter(None, (seen.waiting_since, since, seen.node_at)))
    waited_s = (now - begun).total_seconds()
    if waited_s <= startup.patience_s:
        return ""
    return (
        f"no node has come within {waited_s:.0f} s, and 99 % of them take no longer than "
        f"{startup.patience_s:.0f} s"
    )
