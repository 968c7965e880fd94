"""A decision's inputs as bytes: what it was made from, but for what its forecast holds already.

One blob holds one workload, or all pools of a service: its slice of the shard, the configuration,
the time, and what the fleet's budget allowed it. Of paths and quantiles that stand in a stored
forecast only a digest is kept; of its history what such a decision looks at.

Shapes: W workloads, L loads, S sample paths, H horizon, Q quantile levels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decider.config import DecideConfig
from decider.fleet_types import FleetVerdict
from decider.plain_fields import plain_fields
from decider.planning.exact import integrated
from decider.planning.fallback import FORECAST, LAST_FORECAST
from decider.planning.ledgers import promised_by_steps
from decider.result import Decision
from decider.step_quantiles import StepQuantiles
from decider.stored.input_bytes import FORMAT, pack, smallest
from decider.types import FloatArray, History, ShardRequest, WorkloadInput


@dataclass(frozen=True, slots=True, eq=False)
class ForecastArrays:
    """What a decision takes from its forecast, as its reader makes it of what is stored.

    Attributes:
        loads: (L, S, H) paths of each load of the workload, the demand first; NaN: not forecast.
        further: (L - 1) names of the further loads.
        quantiles: Quantile function of the demand; None: it has none that could be used.
    """

    loads: FloatArray
    further: tuple[str, ...] = ()
    quantiles: StepQuantiles | None = None

    def digest(self) -> str:
        """A few bytes that tell this forecast from another."""
        found = hashlib.blake2b(np.ascontiguousarray(self.loads).tobytes(), digest_size=8)
        if self.quantiles is not None:
            found.update(self.quantiles.levels.tobytes())
            found.update(np.ascontiguousarray(self.quantiles.values).tobytes())
        return found.hexdigest()


def slice_request(request: ShardRequest, row: int, decision: Decision) -> ShardRequest:
    """The part of a shard that one decision came from, the fleet's verdict included.

    It is one row, or all pools of a service: each is decided on with the others.
    """
    pools = decision.pools
    if pools is not None:
        rows = request.services()[pools.service]
        verdicts = [count.verdict for count in pools.counts]
        return _rows(request, rows, verdicts)
    verdict = None
    if decision.fleet_cap is not None:
        price, detail = decision.shadow_price_usd_per_gpu_hour, decision.guard_trace[-1].detail
        verdict = FleetVerdict(decision.fleet_cap, price, detail)
    variants = request.workloads[row].variants
    if variants is None or decision.mix is None:
        return _rows(request, (row,), [verdict])
    one = _rows(request, (row,), [None])
    variants = replace(variants, verdict=decision.mix.verdict)
    return replace(one, workloads=(replace(one.workloads[0], variants=variants),))


def _rows(
    request: ShardRequest, rows: tuple[int, ...], verdicts: Sequence[FleetVerdict | None]
) -> ShardRequest:
    """Some rows of a shard, with what the fleet's budget left of each."""
    given = zip(rows, verdicts, strict=True)
    return request.part(
        rows,
        workloads=tuple(replace(request.workloads[row], verdict=verdict) for row, verdict in given),
        gpu_budgets={},
        elsewhere={},
        quantiles=_used_quantiles(request, rows),
    )


def _used_quantiles(
    request: ShardRequest, rows: tuple[int, ...]
) -> tuple[StepQuantiles | None, ...]:
    """Quantile functions of the rows that are decided by them; empty where none is."""
    used = tuple(integrated(request, row) for row in rows)
    return () if all(one is None for one in used) else used


def inputs_to_bytes(
    request: ShardRequest,
    row: int,
    decision: Decision,
    config: DecideConfig,
    now_s: float,
    forecast: ForecastArrays | None = None,
) -> bytes:
    """Serialise the inputs of one decision; of a pool those of all pools of its service.

    Args:
        request: The shard's request.
        row: The workload's row.
        decision: What was decided.
        config: Settings.
        now_s: Time of the decision, epoch seconds.
        forecast: What the request has of a forecast that is stored: whoever replays brings it
            again. None: paths and quantiles are kept with the inputs.
    """
    if config.revision > 2:
        request = promised_by_steps(request)  # which of them are decided by quantiles
    part = slice_request(request, row, decision)
    seen = _seen(part, decision, config, now_s)
    header: dict[str, Any] = {
        "format": FORMAT,
        "now_s": now_s,
        "valid_for_s": decision.valid_until_s - now_s,
        "step_s": part.step_s,
        "config": _settings(part, config),
    }
    if config.revision > 1:
        header["revision"] = config.revision
    if decision.reach is not None or part.reach > part.horizon:
        header["reach"] = part.reach
    if forecast is not None:
        header["forecast"] = {"digest": forecast.digest(), "further": list(forecast.further)}
    is_apart = forecast is not None
    if decision.pools is None:
        fields, tensors = _row_to_parts(part, 0, seen[0], is_apart=is_apart)
        header |= fields
    else:
        names = [count.name for count in decision.pools.counts]
        header |= {"row": names.index(decision.pools.name), "pools": []}
        tensors = {}
        for i in range(len(names)):
            fields, of_row = _row_to_parts(part, i, seen[i], is_apart=is_apart)
            header["pools"].append(fields)
            tensors |= {of_pool(i, name): values for name, values in of_row.items()}
        response = part.responses[0] if part.responses else None
        if response is not None:
            tensors["response"] = smallest(response.to_array())
    return pack(header, tensors)


def _seen(
    part: ShardRequest, decision: Decision, config: DecideConfig, now_s: float
) -> list[WorkloadInput]:
    """The workloads of a part without the history that its decision does not look at.

    Guards look at scalings and earlier counts within their windows. Planned on its forecast, a
    decision looks at the newest demand alone; below that rung, and where paths go on beyond their
    forecast, the whole of it counts.
    """
    n_last = None
    if decision.rung in (FORECAST, LAST_FORECAST) and part.reach <= part.horizon:
        n_last = config.fallback.looked_at_steps(part.step_s)
    return [replace(one, history=_seen_history(one, n_last, now_s)) for one in part.workloads]


def _seen_history(workload: WorkloadInput, n_last: int | None, now_s: float) -> History:
    history = workload.history
    rules = (workload.limits.scale_up, workload.limits.scale_down)
    rate_s = max((policy.period_s for one in rules for policy in one.policies), default=0.0)
    window_s = max(one.stabilization_window_s for one in rules)
    demand = history.demand
    if n_last is not None:
        known = np.flatnonzero(np.isfinite(demand) & (demand >= 0))
        demand = demand[max(0, known[-1] - n_last + 1) :] if known.size else demand[:0]
    return replace(
        history,
        demand=demand,
        changes=tuple(one for one in history.changes if one[0] > now_s - rate_s),
        recommendations=tuple(one for one in history.recommendations if one[0] > now_s - window_s),
    )


def _row_to_parts(
    part: ShardRequest, row: int, seen: WorkloadInput, *, is_apart: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Header fields and arrays of one row; without those of its forecast if it is kept apart."""
    workload, response = plain_fields(seen), part.response(row)
    _drop_unused(workload)
    if response is None or math.isinf(workload["requests_per_step"]):
        del workload["requests_per_step"]  # without a response it is not used
    history = workload["history"].pop("demand")
    steps, further = part.steps(row), part.further(row)
    fields: dict[str, Any] = {"workload": workload}
    tensors = {
        "capacity_draws": smallest(part.capacity_draws[row : row + 1]),
        "lead_time_draws_s": smallest(part.lead_time_draws_s[row : row + 1]),
        "demand": smallest(np.asarray(history, dtype=float)),
    }
    if response is not None and part.workloads[row].pool is None:
        tensors["response"] = smallest(response.to_array())
    if is_apart:
        fields |= {"by_quantiles": steps is not None, "has_further": further is not None}
        return fields, tensors
    tensors["paths"] = smallest(part.paths[row : row + 1])
    if steps is not None:
        tensors["quantile_levels"] = smallest(steps.levels)
        tensors["quantiles"] = smallest(steps.values)
    if further is not None:
        fields["further_scales"] = [1.0] * len(further)
        tensors |= {further_name(g): smallest(one) for g, one in enumerate(further)}
    return fields, tensors


def _settings(part: ShardRequest, config: DecideConfig) -> dict[str, Any]:
    """The configuration as it is stored: no queue counts without a response, or if not known.

    What cannot matter to this very decision is left out: the release before reads it.

    `spread_sigma` is what the paths of this very decision were spread by, with a response or
    without one, as it was before there were two. Costs of starts and stops are those of its own
    step.
    """
    settings: dict[str, Any] = plain_fields(config)
    rows = [row for row in range(len(part.workloads)) if part.response(row) is not None]
    queues = [part.workloads[row].waiting_load for row in rows]
    if all(one is None for one in queues):
        del settings["max_backlog_steps"]
    if config.fallback.averaged_steps(part.step_s) == 1:
        for name in ("rise_deviations", "n_scatter"):
            del settings["fallback"][name]
    costs = config.change_costs(part.step_s)
    settings |= {"start_cost_steps": costs.start, "stop_cost_steps": costs.stop}
    del settings["change_cost_step_s"]
    del settings["revision"]  # it stands in the header, where the release before passes over it
    of_response = settings.pop("response_spread_sigma")
    if rows:
        settings["spread_sigma"] = of_response
    return settings


def of_pool(row: int, name: str) -> str:
    """Name of a pool's array."""
    return f"pool_{row}_{name}"


def further_name(g: int) -> str:
    """Name of the paths of a further load that are kept with the inputs."""
    return f"further_paths_{g}"


def _drop_unused(workload: dict[str, Any]) -> None:
    """Leave out what a workload does not have, so that its bytes are what they were before."""
    for name in ("waiting_requests", "is_response_borrowed", "is_relearning"):
        if not workload[name]:
            del workload[name]
    for name in ("variants", "pool", "waiting_load", "carried_load"):
        if workload[name] is None:
            del workload[name]
    states = (workload.get("variants") or {}).get("states", ())
    for holder in (workload["replicas"], *states):
        if holder["spot"] is None:
            del holder["spot"]
    for state in states:
        if not state["stuck"]:
            del state["stuck"]
    if not workload["further_capacity"]:
        del workload["further_capacity"]
    if workload["sla"]["good_share"] is None:
        del workload["sla"]["good_share"]
    if not workload["sla"]["is_of_windows"]:
        del workload["sla"]["is_of_windows"]
    risk = workload["risk"]
    if risk["measured_steps"] == 0.0:
        for name in ("measured_missed", "measured_total", "measured_steps"):
            del risk[name]
