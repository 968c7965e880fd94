"""What was decided about one workload: one decision, or one for each of its pools; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import RowMapping

from decider import Decision, Direction, ExpectedMisses, GuardStep
from services.decision.rows.members import ShardMember
from services.decision.rows.prepare import Prepared, RequestRow
from services.decision.rows.variants import PartCount


@dataclass(frozen=True, slots=True, eq=False)
class ServiceDecision:
    """The decisions about one workload.

    Attributes:
        at: Places of its rows in the request.
        rows: These rows.
        decisions: A decision of each.
        whole: The decision about the workload, which of pools counts their sums.
    """

    at: tuple[int, ...]
    rows: tuple[RequestRow, ...]
    decisions: tuple[Decision, ...]
    whole: Decision

    @property
    def member(self) -> ShardMember:
        """The workload."""
        return self.rows[0].service

    @property
    def forecast(self) -> RowMapping:
        """The forecast that it was made from."""
        return self.rows[0].forecast

    @property
    def has_pools(self) -> bool:
        """There is a decision for each pool."""
        return bool(self.member.spec.pools)

    @property
    def counts(self) -> tuple[PartCount, ...]:
        """Counts of each variant or pool; empty: there is one target."""
        if self.whole.mix is not None:
            return tuple(
                PartCount(c.name, c.gpu_type, c.current, c.desired, None, ratio)
                for c, ratio in zip(self.whole.mix.counts, self._learned_ratios(), strict=True)
            )
        pairs = zip(self.member.spec.pools, self.decisions, strict=False)
        return tuple(
            PartCount(pool.name, pool.gpu_type, d.current, d.final, d.raw) for pool, d in pairs
        )

    def _learned_ratios(self) -> list[float | None]:
        """Reference replicas that one of each variant is worth; None: as stated."""
        variants, spec = self.rows[0].given.variants, self.member.spec
        assert variants is not None, "a decision with a mix is about variants"
        stated = [variant.ratio(spec.capacity.per_replica) for variant in spec.variants]
        used = [state.capacity_ratio for state in variants.states]
        pairs = zip(used, stated, strict=True)
        return [float(f"{u:.6g}") if u != s else None for u, s in pairs]


def service_decisions(
    prepared: Prepared, decisions: Sequence[Decision]
) -> tuple[ServiceDecision, ...]:
    """The decisions of a request by workload."""
    at: dict[int, list[int]] = {}
    for place, row in enumerate(prepared.rows):
        at.setdefault(row.service.id, []).append(place)
    found = []
    for places in at.values():
        own = tuple(decisions[place] for place in places)
        rows = tuple(prepared.rows[place] for place in places)
        found.append(ServiceDecision(tuple(places), rows, own, whole_decision(own)))
    return tuple(found)


def whole_decision(decisions: Sequence[Decision]) -> Decision:
    """The decision about a workload: the only one, or of pools that with their sums.

    Its reason and what bounds it are those of one pool: of those that go the way of the sum the one
    that goes furthest; where the sum stays, one that rises, else the one that binds.
    """
    if len(decisions) == 1:
        return decisions[0]
    lead = _lead(decisions)
    first = decisions[0].pools
    assert first is not None, "several decisions about a workload are about its pools"
    change = sum(d.final - d.current for d in decisions)
    final = sum(d.final for d in decisions)
    of_demand = next(d for d in decisions if d.pools and d.pools.name == first.of_load(0))
    caps = [d.fleet_cap for d in decisions]
    models = [d.model_replicas for d in decisions]
    return replace(
        lead,
        workload=first.service,
        current=final - change,
        raw=sum(d.raw for d in decisions),
        final=final,
        direction=_direction(change),
        guard_trace=_traces(decisions),
        cost_delta_usd_per_hour=sum(d.cost_delta_usd_per_hour for d in decisions),
        plan=tuple(sum(counts) for counts in zip(*(d.plan for d in decisions), strict=False)),
        quantiles=of_demand.quantiles,
        counterfactuals=_summed(decisions),
        fleet_cap=None if None in caps else sum(cap or 0 for cap in caps),
        model_replicas=None if None in models else sum(count or 0 for count in models),
        budget_demand=(),
        expected_misses=_misses(lead, final),
        pools=None,
        spot=None,
    )


def pool_words(decisions: Sequence[Decision]) -> str:
    """Words on pools: `3 prefill + 5 decode: 0.8 % of requests would miss; bound by decode`."""
    known = [(d.pools.name, d) for d in decisions if d.pools is not None]
    words = " + ".join(f"{d.final} {name}" for name, d in known)
    first, bound = decisions[0], binding_pool(decisions[0])
    misses = first.expected_misses
    if misses is not None and first.final in misses.by_replicas:
        words += f": {misses.words(first.final).partition(': ')[2]}"
    words = f"{words}; bound by {bound}" if bound else words
    spot = (d.spot.words(name) for name, d in known if d.spot is not None)
    return "; ".join((words, *spot))


def binding_pool(decision: Decision) -> str:
    """The pool of its service on which most of the expected misses fall; empty: not known."""
    if decision.pools is None or not decision.bound_by:
        return ""
    shares = {
        pool.name: sum(decision.bound_by[load] for load in pool.loads)
        for pool in decision.pools.counts
    }
    return max(shares, key=lambda name: shares[name])


def _lead(decisions: Sequence[Decision]) -> Decision:
    sign = -1 if sum(d.final - d.current for d in decisions) < 0 else 1
    moved = [d for d in decisions if sign * (d.final - d.current) > 0]
    if moved:
        return max(moved, key=lambda d: abs(d.final - d.current))
    bound = binding_pool(decisions[0])
    return next((d for d in decisions if d.pools and d.pools.name == bound), decisions[0])


def _direction(change: int) -> Direction:
    if change == 0:
        return Direction.HOLD
    return Direction.UP if change > 0 else Direction.DOWN


def _traces(decisions: Sequence[Decision]) -> tuple[GuardStep, ...]:
    """Every guard with the sums of what it was given and passed on, and what it saw of each.

    A pool that a guard was not asked about keeps its count there.
    """
    counts = [d.raw for d in decisions]
    traces = [{step.guard: step for step in d.guard_trace} for d in decisions]
    found = []
    for guard in max(traces, key=len):
        before, details = sum(counts), []
        for at, (decision, trace) in enumerate(zip(decisions, traces, strict=True)):
            step = trace.get(guard)
            if step is None:
                continue
            counts[at] = step.after
            if step.detail and decision.pools is not None:
                details.append(f"{decision.pools.name}: {step.detail}")
        found.append(GuardStep(guard, before, sum(counts), "; ".join(details)))
    return tuple(found)


def _summed(decisions: Sequence[Decision]) -> dict[str, int]:
    """Counterfactual counts that are known of every pool."""
    names = decisions[0].counterfactuals
    return {
        name: sum(d.counterfactuals[name] for d in decisions)
        for name in names
        if all(name in d.counterfactuals for d in decisions)
    }


def _misses(lead: Decision, final: int) -> ExpectedMisses | None:
    """What counts of one pool are expected to miss beside the others' final ones, by their sum."""
    misses = lead.expected_misses
    if misses is None:
        return None
    others = final - lead.final
    shares = {count + others: share for count, share in misses.by_replicas.items()}
    return replace(misses, by_replicas=shares)
