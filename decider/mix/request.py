"""Capacity that a decision's draft asks of the variants of its workload."""

from __future__ import annotations

import math

import numpy as np

from decider.budget.budget import DraftedShard, claims_of
from decider.budget.reasons import Draft
from decider.mix.candidates import MixRequest
from decider.planning.guards import GuardInput, rate_edge
from decider.tables.candidates import effective_bounds
from decider.types import WorkloadInput
from decider.variant_types import VariantSet, whole


def mix_request(shard: DraftedShard, row: int, now_s: float) -> MixRequest:
    """The request of one workload that has variants.

    The guards have judged the total already. What holds a total holds its parts: a pause, a full
    freeze and an unknown state fix every variant; one-way modes, freezes and disabled directions
    hold for each; what may be started or stopped now is limited by the total's rate limits.

    Args:
        shard: The shard, its drafts, and its losses by count.
        row: The workload.
        now_s: Epoch seconds.
    """
    workload, draft = shard.request.workloads[row], shard.drafts[row]
    assert workload.variants is not None, "the caller chose rows with variants"
    claims = claims_of(shard, [row])
    program, steps = shard.outlook.program, shard.request
    # Not the steps beyond, which are looked at because starts are slow: they would be the cheaper.
    horizon = steps.n_forecast or steps.horizon
    started, stopped = _rates(workload, now_s)
    wanted, low = draft.guarded, _lowest(workload, int(claims.low[0]))
    loss = np.concatenate([np.full(int(claims.low[0]) - low, claims.loss[0, 0]), claims.loss[0]])
    return MixRequest(
        variants=workload.variants,
        wanted=wanted,
        low=low,
        high=max(wanted, _highest(workload)),
        loss_usd_per_hour=loss - loss.min(),
        # A move is paid once, a mix runs on: over the horizon a start costs this much per hour.
        start_ratio=program.start_cost / horizon,
        stop_ratio=program.stop_cost / horizon,
        wait_ratio=_waits(workload.variants, horizon * steps.step_s),
        may_rise=_may_rise(workload),
        may_fall=_may_fall(workload),
        is_fixed=_is_fixed(workload, draft),
        most_started=started,
        most_stopped=stopped,
        closed_types=frozenset(t for t, gpus in shard.request.gpu_budgets.items() if gpus is None),
    )


def _waits(variants: VariantSet, horizon_s: float) -> tuple[float, ...]:
    """By variant: for how much of the horizon it starts later than the fastest one would."""
    leads = [v.lead_s for v in variants.states if v.lead_s is not None]
    if not leads:
        return ()
    return tuple(
        0.0 if v.lead_s is None else (v.lead_s - min(leads)) / horizon_s for v in variants.states
    )


def _lowest(workload: WorkloadInput, low: int) -> int:
    """Capacity before any budget: what people hold, as far as its variants may have it."""
    variants = workload.variants
    assert variants is not None, "the caller chose rows with variants"
    kept = [min(v.spec, max(v.least, v.most)) for v in variants.states]
    return min(low, max(effective_bounds(workload)[0], whole(variants.units(kept))))


def _highest(workload: WorkloadInput) -> int:
    high = workload.control.schedule_max
    own = workload.limits.max_replicas
    return own if high is None else min(own, max(high, workload.limits.min_replicas))


def _is_fixed(workload: WorkloadInput, draft: Draft) -> bool:
    is_paused = any(step.guard == "paused" and step.detail for step in draft.trace)
    return is_paused or not workload.has_replica_state or workload.control.freeze == "Both"


def _may_rise(workload: WorkloadInput) -> bool:
    is_disabled = workload.limits.scale_up.select_policy == "Disabled"
    return not (workload.control.scale_in_only or is_disabled)


def _may_fall(workload: WorkloadInput) -> bool:
    control = workload.control
    is_disabled = workload.limits.scale_down.select_policy == "Disabled"
    return not (control.scale_out_only or control.freeze == "ScaleDown" or is_disabled)


def _rates(workload: WorkloadInput, now_s: float) -> tuple[float, float]:
    """Reference replicas that may be started and stopped now."""
    given = GuardInput(workload, now_s, None, 1.0, 1.0)
    found = []
    for rules, is_up in ((workload.limits.scale_up, True), (workload.limits.scale_down, False)):
        if not rules.policies:
            found.append(math.inf)
            continue
        edge, start = rate_edge(given, rules, is_up=is_up), given.start
        change = max(edge, start) - given.current if is_up else given.current - min(edge, start)
        found.append(float(max(change, 0)))
    return found[0], found[1]
