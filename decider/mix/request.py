"""Capacity that a decision's draft asks of the variants of its workload."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from decider.budget.budget import DraftedShard, claims_of
from decider.budget.reasons import Draft, HeldMix
from decider.config import REVISION
from decider.mix.candidates import MixRequest
from decider.mix.options import make_options
from decider.mix.promise import MixPromise
from decider.planning.fallback import Standing
from decider.planning.guards import GuardInput, rate_edge
from decider.planning.outlook import Outlook
from decider.tables.candidates import effective_bounds
from decider.types import IntArray, ShardRequest, WorkloadInput
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
    started, stopped = _rates(workload, now_s)
    first = int(claims.low[0])
    wanted, low = max(draft.unlost_guarded, first), _lowest(workload, first)
    own = claims.loss[0][: wanted - first + 1]
    loss = np.concatenate([np.full(first - low, own[0]), own])
    return replace(
        _whole_request(shard.request, shard.outlook, row, wanted),
        low=low,
        high=_most(workload, draft, wanted, shard.revision),
        loss_usd_per_hour=loss - loss.min(),
        may_rise=_may_rise(workload),
        may_fall=_may_fall(workload),
        is_fixed=_is_fixed(workload, draft),
        most_started=started,
        most_stopped=stopped,
        closed_types=frozenset(t for t, gpus in shard.request.gpu_budgets.items() if gpus is None),
        promise=_promise(shard, row),
        is_room_shared=shard.revision > 3,
        are_free_counted=shard.revision > 5,
    )


def mixes_through_losses(
    request: ShardRequest,
    outlook: Outlook,
    standings: Sequence[Standing],
    counts: IntArray,
    revision: int = REVISION,
) -> dict[int, HeldMix]:
    """By row, the cheapest mix that is at most as risky with interruptions as promised.

    What is promised is the risk level in use; where a count was worth more risk without any
    interruption, it is that risk. A mix is never worth less than that count. Where none keeps the
    promise it is one that comes nearest to it. No guard or budget is looked at yet. Where prices
    alone decide nothing is held.

    Args:
        request: The shard.
        outlook: Its plan.
        standings: Where each workload stands on the fallback ladder.
        counts: (W,) reference replicas that are wanted without interruptions.
        revision: Of the tables and prices (`decider.config`).

    Returns:
        Mixes of the rows whose variants have replicas on spot nodes.
    """
    found = {}
    for row, law in outlook.mix_survival.items():
        if not standings[row].is_planned:
            continue
        count, level = int(counts[row]), outlook.level_of_step(request, row)
        allowed = max(outlook.own_risk(row, count), level)
        risk_of = partial(outlook.owned_risks, row)
        asked = replace(
            _whole_request(request, outlook, row, count),
            high=max(count, effective_bounds(request.workloads[row])[1]),
            promise=MixPromise(law, risk_of, allowed, level, _running(request, row)),
            is_room_shared=revision > 3,
            are_free_counted=revision > 5,
        )
        options = make_options(asked)
        best = tuple(int(n) for n in options.counts[options.best()])
        is_kept = MixPromise(law, risk_of, level).is_kept(options.counts)
        replicas = max(count, whole(asked.variants.units(best)))
        found[row] = HeldMix(best, replicas, allowed, bool(is_kept.any()))
    return found


def _whole_request(request: ShardRequest, outlook: Outlook, row: int, wanted: int) -> MixRequest:
    """All of a capacity, whatever was decided before and whoever else wants GPUs."""
    variants, program = request.workloads[row].variants, outlook.program
    assert variants is not None, "the caller chose rows with variants"
    # Not the steps beyond, which are looked at because starts are slow: they would be the cheaper.
    horizon = request.n_forecast or request.horizon
    return MixRequest(
        variants=variants,
        wanted=wanted,
        low=wanted,
        high=wanted,
        loss_usd_per_hour=np.zeros(1),
        # A move is paid once, a mix runs on: over the horizon a start costs this much per hour.
        start_ratio=program.start_cost / horizon,
        stop_ratio=program.stop_cost / horizon,
        wait_ratio=_waits(variants, horizon * request.step_s),
    )


def _most(workload: WorkloadInput, draft: Draft, wanted: int, revision: int) -> int:
    """Capacity that is never exceeded; where a guard holds it down, nothing is held beyond that."""
    variants = workload.variants
    if draft.promised_mix is None or draft.guarded >= draft.raw or variants is None:
        return max(wanted, _highest(workload))
    coarse = math.ceil(max(v.capacity_ratio for v in variants.states)) - 1
    most = draft.guarded + coarse
    return max(wanted, min(most, _highest(workload)) if revision > 5 else most)


def _promise(shard: DraftedShard, row: int) -> MixPromise | None:
    """What a mix must keep; where less is left than that takes, interruptions add a level to it."""
    held, outlook = shard.drafts[row].promised_mix, shard.outlook
    if held is None:
        return None
    own, allowed = outlook.own_risk(row, shard.drafts[row].guarded), held.allowed
    level, running = outlook.level_of_step(shard.request, row), _running(shard.request, row)
    if own > allowed:
        allowed = own + level
    risk_of = partial(outlook.owned_risks, row)
    return MixPromise(outlook.mix_survival[row], risk_of, allowed, level, running)


def _running(request: ShardRequest, row: int) -> Sequence[int]:
    variants = request.workloads[row].variants
    assert variants is not None, "the caller chose rows with variants"
    return variants.carrying(variants.current)


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
