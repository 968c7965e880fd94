"""Why: quantiles used, counterfactuals, and the JSON form of a decision."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from decider.belief.capacity import replicas_needed
from decider.config import DecideConfig
from decider.mix.record import changes, mix_to_dict, spot_words
from decider.planning.ledgers import promise_of_steps
from decider.planning.outlook import Outlook
from decider.planning.plan import first_of_plan, within
from decider.planning.pool_risk import PoolRisk
from decider.planning.utility import step_risk
from decider.result import Decision, ExpectedMisses
from decider.tables.candidates import effective_bounds, smallest_allowed
from decider.tables.pairing import paired_draws
from decider.tables.soft_tables import missed_shares
from decider.types import FloatArray, IntArray, ShardRequest, Sla

QUANTILE_LEVELS = (0.1, 0.5, 0.9, 0.99)


def demand_quantiles(outlook: Outlook) -> list[dict[str, float]]:
    """Demand quantiles at the step that each decision is made for, by level."""
    step = outlook.owned_step
    demand = np.take_along_axis(outlook.scenarios.demand, step[:, None, None], axis=2)[:, :, 0]
    table = np.quantile(demand, QUANTILE_LEVELS, axis=1)
    return [
        {f"p{100 * q:g}": float(table[i, row]) for i, q in enumerate(QUANTILE_LEVELS)}
        for row in range(table.shape[1])
    ]


def counterfactuals(
    request: ShardRequest, outlook: Outlook, config: DecideConfig
) -> list[dict[str, int]]:
    """Unguarded counts at other risk levels, at the median forecast, and at zero lead time."""
    table = {f"epsilon_{e:g}": _at_level(request, outlook, e) for e in config.epsilons}
    table["median_forecast"] = _at_median(request, outlook)
    # earlier decisions were explained by time, whatever they promised
    is_by_time = config.revision < 2
    risk = outlook.steps.violation if is_by_time else step_risk(request, outlook.steps)
    table["zero_lead_time"] = _at_zero_lead(risk[:, 0], outlook)
    floors = [effective_bounds(w) for w in request.workloads]
    return [
        {name: max(low, min(high, int(counts[row]))) for name, counts in table.items()}
        for row, (low, high) in enumerate(floors)
    ]


def _at_level(request: ShardRequest, outlook: Outlook, epsilon: float) -> IntArray:
    """First counts had the promise been `epsilon`, pacing and feedback being what they are.

    It is stated as the promise is: of windows where that is of windows. The price of risk moves
    against the promise: with exponential tails the risk taken is inversely proportional to it. At
    the workload's own epsilon this is the plan itself.
    """
    own = np.array([w.sla.epsilon if w.sla.epsilon else np.nan for w in request.workloads])
    asked = np.array([_as_stated(w.sla, epsilon, request.step_s) for w in request.workloads])
    factor = np.where(np.isnan(own), 1.0, asked / own)
    first = outlook.first_limit
    limit = np.where(np.isinf(first), np.inf, np.minimum(first * factor, 1.0))
    index = first_of_plan(outlook.program, outlook.paid / factor, limit)
    return np.asarray(outlook.grid.counts[np.arange(own.size), index])


def _as_stated(sla: Sla, epsilon: float, step_s: float) -> float:
    """What another epsilon of a promise would come to of each step."""
    if not sla.is_of_windows:
        return epsilon
    return (
        promise_of_steps(replace(sla, epsilon=epsilon, kind="AnyInWindow"), step_s).epsilon or 0.0
    )


def _at_median(request: ShardRequest, outlook: Outlook) -> IntArray:
    """Replicas for the median demand over the time that the decision answers for."""
    owned = outlook.weights.own_first.sum(axis=2) > 1e-9
    steps = np.flatnonzero(owned.any(axis=0))
    median = np.median(outlook.scenarios.demand[:, :, steps], axis=1)
    capacity = request.capacity_draws.mean(axis=1, keepdims=True)
    need = replicas_needed(median, capacity)
    return np.asarray(np.where(owned[:, steps], need, 0.0).max(axis=1, initial=0.0), dtype=np.int64)


def _at_zero_lead(risk: FloatArray, outlook: Outlook) -> IntArray:
    """Least count whose risk (W, K) keeps the level in the present step, were starts instant."""
    keeps = within(risk, outlook.level, outlook.grid.is_allowed)
    rows = np.arange(outlook.level.size)
    first = np.where(np.isinf(outlook.level), smallest_allowed(outlook.grid), keeps.argmax(axis=1))
    return np.asarray(outlook.grid.counts[rows, first])


def expected_misses(
    request: ShardRequest, outlook: Outlook, row: int, counts: Iterable[int], final: IntArray
) -> ExpectedMisses | None:
    """What one workload is expected to miss at counts, their neighbours and none in between.

    A count between two candidates is taken for the lower one. A pool's counts stand beside those
    that the other pools of its service were decided (`final`, (W,)); what is missed is the
    service's. Requests weigh what they are in each scenario, as in the risk: a scenario with twice
    the demand has twice the requests to miss.
    """
    response = request.response(row)
    if response is None:
        return None
    step, service = int(outlook.owned_step[row]), outlook.service_of(row)
    around = np.array(sorted({n + d for n in counts for d in (-1, 0, 1)}), dtype=np.int64)
    index = np.unique(outlook.grid.row_index(row, around))
    is_of_requests = request.workloads[row].sla.kind == "DemandFraction"
    if service is not None:
        beside = np.repeat(final[None, list(service.rows)].astype(float), index.size, axis=0)
        beside[:, service.rows.index(row)] = outlook.grid.counts[row, index]
        shares = service.scenarios.risk(np.full(index.size, step), beside)
    else:
        tables = outlook.steps
        shares = (tables.unmet if is_of_requests else tables.violation)[row, step, index]
    if is_of_requests:
        requests = outlook.scenarios.raw[row if service is None else service.rows[0]]
        shares = shares / _requests_of_step(requests, step)
    known = zip(outlook.grid.counts[row, index], shares, strict=True)
    by_replicas = {int(n): float(share) for n, share in known}
    if not is_of_requests:
        return ExpectedMisses("minutes", by_replicas)
    return ExpectedMisses("requests", by_replicas, float(response.floor.mean()))


def _requests_of_step(requests: FloatArray, step: int) -> float:
    """Requests of one step over those of the horizon's mean step, of requests (S, H).

    The risk of a promise of requests is in means of a step; people ask of the step's own requests.
    """
    return max(float(requests[:, step].mean()), 1e-300) / max(float(requests.mean()), 1e-300)


def bound_by(
    request: ShardRequest, outlook: Outlook, row: int, final: IntArray
) -> tuple[float, ...]:
    """(1+F,) share of the misses expected at counts (W,) that falls to each load; sums to 1.

    Over the scenarios of the step that the decision mostly answers for: each one's misses fall to
    the load that takes the largest share of its own capacity. Where no scenario misses, it is that
    of the scenario that comes nearest. Empty without further loads, and where there is no load.
    The loads of a pool are those of its whole service.
    """
    service = outlook.service_of(row)
    if service is not None:
        return _service_bound_by(request, outlook, service, row, final)
    loads, step = outlook.scenarios.loads.get(row), int(outlook.owned_step[row])
    if loads is None:
        return ()
    demand = outlook.scenarios.demand[row, :, step]
    if not demand.any():
        return ()
    response, replicas = request.response(row), int(final[row])
    if response is None:
        share = (outlook.scenarios.need[row, :, step] > replicas).astype(float)
    else:
        share = missed_shares(response, demand, replicas)
    misses = share * outlook.scenarios.raw[row, :, step]
    if not misses.sum() > 0:
        misses[np.argmax(demand / loads.capacity[0])] = 1.0
    return _by_load(loads.shares(step), misses)


def _by_load(shares: FloatArray, misses: FloatArray) -> tuple[float, ...]:
    """(1+F,) part of scenarios' misses (N,) that falls to the largest of their shares (1+F, N)."""
    by_load = np.bincount(shares.argmax(axis=0), misses, minlength=shares.shape[0])
    return tuple(float(s) for s in by_load / by_load.sum())


def _service_bound_by(
    request: ShardRequest, outlook: Outlook, service: PoolRisk, row: int, final: IntArray
) -> tuple[float, ...]:
    """`bound_by` of a service, at the step that the pool in `row` is decided for."""
    scenarios, step = outlook.scenarios, int(outlook.owned_step[row])
    found: dict[int, FloatArray] = {}
    for other in service.rows:
        loads, response = scenarios.loads.get(other), request.response(other)
        if loads is not None:
            shares = loads.shares(step)
        elif response is None:
            shares = (scenarios.demand[other, :, step] / scenarios.capacity[other, :, 0])[None]
        else:
            picked = paired_draws(response.capacity.size, scenarios.demand.shape[1])
            shares = (scenarios.demand[other, :, step] / response.capacity[picked])[None]
        pool = request.workloads[other].pool
        assert pool is not None, "the rows of a service are pools"
        found |= dict(zip(pool.loads, shares / max(int(final[other]), 1e-9), strict=True))
    taken = np.stack([found[g] for g in sorted(found)])
    if not taken.any():
        return ()
    misses = service.scenarios.missed(step, final[list(service.rows)].astype(float))
    misses = misses * scenarios.raw[row, :, step]
    if not misses.sum() > 0:
        misses[np.argmax(taken.max(axis=0))] = 1.0
    return _by_load(taken, misses)


def decision_to_dict(decision: Decision) -> dict[str, object]:
    """A JSON-able record of a decision, with stable key order and rounded figures.

    `model_replicas` is there only where a model that is not trusted asked for it, and `model_held`
    where it did so for interruptions of spot nodes, `mix` only where
    there are variants, its `spot` only where some are on spot nodes, `expected_misses` only where a
    response is known, `bound_by` only where there are further loads, `pool` only for pools, `queue`
    only where something waits, `reach` only where starts may take longer than its forecast reaches,
    `spot` only where replicas are on spot nodes: every other record is what it was before there
    were these.
    """
    return _where_there_is(decision) | {
        "workload": decision.workload,
        "current": decision.current,
        "raw": decision.raw,
        "final": decision.final,
        "direction": str(decision.direction),
        "reason": str(decision.reason),
        "binding_constraint": decision.binding_constraint,
        "rung": decision.rung,
        "guard_trace": [
            {"guard": s.guard, "before": s.before, "after": s.after, "detail": s.detail}
            for s in decision.guard_trace
        ],
        "risk": {
            "target": decision.risk_target,
            "level": _rounded(decision.risk_level),
            "before": _rounded(decision.risk_before),
            "after": _rounded(decision.risk_after),
            "committed": _rounded(decision.risk_committed),
            "log_multiplier": _rounded(decision.log_multiplier),
            "next_log_multiplier": _rounded(decision.next_log_multiplier),
            "is_budget_exhausted": decision.is_budget_exhausted,
        },
        "cost_delta_usd_per_hour": _rounded(decision.cost_delta_usd_per_hour),
        "plan": list(decision.plan),
        "quantiles": _rounded_map(decision.quantiles),
        "counterfactuals": dict(decision.counterfactuals),
        "fleet": {
            "cap": decision.fleet_cap,
            "shadow_price_usd_per_gpu_hour": _rounded(decision.shadow_price_usd_per_gpu_hour),
        },
        "valid_until_s": decision.valid_until_s,
    }


def misses_to_dict(misses: ExpectedMisses) -> dict[str, object]:
    """What counts are expected to miss; not what no count cures, which decides nothing."""
    shares = {str(n): _rounded(share) for n, share in misses.by_replicas.items()}
    return {"of": misses.of, "by_replicas": shares}


def _where_there_is(decision: Decision) -> dict[str, object]:
    """Fields of a record that not every decision has."""
    shadow: dict[str, object] = {}
    if decision.model_replicas is not None:
        shadow["model_replicas"] = decision.model_replicas
    if decision.model_held:
        shadow["model_held"] = decision.model_held
    if decision.mix is not None:
        shadow["mix"] = mix_to_dict(decision.mix)
    misses = decision.expected_misses
    if misses is not None:
        shadow["expected_misses"] = misses_to_dict(misses)
    if decision.bound_by:
        shadow["bound_by"] = [_rounded(share) for share in decision.bound_by]
    pools = decision.pools
    if pools is not None:
        replicas = {c.name: c.replicas for c in pools.counts}
        shadow["pool"] = {"service": pools.service, "name": pools.name, "replicas": replicas}
    if decision.queue is not None:
        queue = decision.queue
        shadow["queue"] = {"requests": _rounded(queue.requests), "load": _rounded(queue.load)}
    if decision.spot is not None:
        spot = decision.spot
        shadow["spot"] = {
            "replicas": spot.replicas,
            "ready": spot.ready,
            "nodes": spot.nodes,
            "hours_between": _rounded(spot.hours_between),
            "held": spot.held,
        }
    if decision.reach is not None:
        reach = decision.reach
        shadow["reach"] = {
            "steps": reach.steps,
            "forecast_steps": reach.forecast_steps,
            "wanted_steps": reach.wanted_steps,
        }
    return shadow


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")


def _rounded_map(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _rounded(value) for name, value in values.items()}


def decision_summary(decision: Decision) -> str:
    """One line for people: what, why, what it costs."""
    arrow = f"{decision.current} -> {decision.final}"
    parts = [f"{decision.workload}: {arrow} ({decision.reason})"]
    if decision.pools is not None:
        parts.append(decision.pools.words())
    if decision.binding_constraint:
        parts.append(f"bound by {decision.binding_constraint}")
    if decision.risk_after is not None and decision.risk_target is not None:
        order = math.floor(math.log10(100.0 * decision.risk_target))
        digits = min(max(2, 1 - order), 12)  # two that count
        risk, target = (f"{x:.{digits}%}" for x in (decision.risk_after, decision.risk_target))
        parts.append(f"risk {risk} against {target} promised")
    if (
        decision.expected_misses is not None
        and decision.final in decision.expected_misses.by_replicas
    ):
        parts.append(decision.expected_misses.words(decision.final))
    if decision.bound_by:
        load, pools = int(np.argmax(decision.bound_by)), decision.pools
        name = f"load {load}" if pools is None else f"pool {pools.of_load(load)} (load {load})"
        parts.append(f"mostly bound by {name}")
    quiet = decision.counterfactuals.get("nothing_waiting", decision.raw)
    if decision.queue is not None and quiet < decision.raw:
        parts.append(f"{decision.queue.words()} ({quiet} replicas without)")
    if decision.reach is not None:
        parts.append(decision.reach.words())
    if decision.spot is not None:
        parts.append(decision.spot.words())
    if decision.mix is not None:
        parts.append(changes(decision.mix))
        if decision.mix.spot is not None and decision.mix.spot.parts:
            parts.append(spot_words(decision.mix.spot))
    if decision.cost_delta_usd_per_hour:
        parts.append(f"{decision.cost_delta_usd_per_hour:+.2f} USD/h")
    return ", ".join(parts)
