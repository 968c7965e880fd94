"""A decision's inputs as bytes, and the same decision from them.

Format: zlib-compressed safetensors with a JSON header; never pickle. One blob holds one workload:
its slice of the shard, the configuration, the time, and what the fleet's budget allowed it.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors, save as save_tensors

from decider.config import DecideConfig, FallbackConfig, RiskControlConfig, TrailingRule
from decider.decide import decide_shard
from decider.errors import ReplayMismatch
from decider.explain import decision_to_dict
from decider.fleet_types import FleetVerdict
from decider.miss_draws import MissDraws
from decider.plain_fields import plain_fields
from decider.planning.exact import integrated
from decider.pool_types import PoolPlace
from decider.result import Decision
from decider.step_quantiles import StepQuantiles
from decider.types import (
    Control,
    DirectionRules,
    FloatArray,
    Hardware,
    History,
    Limits,
    RatePolicy,
    ReplicaState,
    RiskState,
    ShardRequest,
    Sla,
    WorkloadInput,
)
from decider.variant_types import MixVerdict, VariantSet, VariantState

FORMAT = 2
RESPONSE_FORMAT = 3
"""Of inputs with a response; a reader of `FORMAT` alone would decide without it."""
LOADS_FORMAT = 4
"""Of inputs with further loads."""
POOLS_FORMAT = 5
"""Of inputs of all pools of a service."""
QUANTILES_FORMAT = 6
"""Of inputs with the quantile function that the decision was integrated over."""
_HEADER = "header"


def decision_bytes(decision: Decision) -> bytes:
    """Canonical bytes of a decision: what a replay must reproduce."""
    return json.dumps(decision_to_dict(decision), separators=(",", ":"), sort_keys=True).encode()


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
    path_scale: float | Sequence[float] = 1.0,
) -> bytes:
    """Serialise the inputs of one decision; of a pool those of all pools of its service.

    Args:
        request: The shard's request.
        row: The workload's row.
        decision: What was decided.
        config: Settings.
        now_s: Time of the decision, epoch seconds.
        path_scale: The paths are this many times a float16 array (the forecaster stores them
            so), which is then what is kept; arrays are narrowed only where that loses nothing. Of
            several loads one each, (1+F,), of pools in the service's order.
    """
    scales = tuple(np.atleast_1d(path_scale).tolist())
    part = slice_request(request, row, decision)
    header: dict[str, Any] = {
        "format": _format(part),
        "now_s": now_s,
        "valid_for_s": decision.valid_until_s - now_s,
        "step_s": part.step_s,
        "config": _settings(part, config),
    }
    if decision.pools is None:
        fields, tensors = _row_to_parts(part, 0, scales)
        header |= fields
    else:
        names = [count.name for count in decision.pools.counts]
        header |= {"row": names.index(decision.pools.name), "pools": []}
        tensors = {}
        for i, count in enumerate(decision.pools.counts):
            own = tuple(scales[g] for g in count.loads) if len(scales) > 1 else scales
            fields, of_row = _row_to_parts(part, i, own)
            header["pools"].append(fields)
            tensors |= {_of_pool(i, name): values for name, values in of_row.items()}
        response = part.responses[0] if part.responses else None
        if response is not None:
            tensors["response"] = _smallest(response.to_array())
    blob = save_tensors(tensors, metadata={_HEADER: json.dumps(header, sort_keys=True)})
    return zlib.compress(blob, 1)  # sample paths hardly compress: the header does


def _row_to_parts(
    part: ShardRequest, row: int, scales: tuple[float, ...]
) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Header fields and arrays of one row."""
    scale, *further_scales = scales
    workload, response = plain_fields(part.workloads[row]), part.response(row)
    _drop_unused(workload)
    if response is None or math.isinf(workload["requests_per_step"]):
        del workload["requests_per_step"]  # without a response it is not used
    history = workload["history"].pop("demand")
    paths = part.paths[row : row + 1]
    fields: dict[str, Any] = {
        "workload": workload,
        "path_scale": scale if _is_scaled(paths, scale) else 1.0,
    }
    tensors = {
        "paths": _unscaled(paths, scale),
        "capacity_draws": _smallest(part.capacity_draws[row : row + 1]),
        "lead_time_draws_s": _smallest(part.lead_time_draws_s[row : row + 1]),
        "demand": _smallest(np.asarray(history, dtype=float)),
    }
    if response is not None and part.workloads[row].pool is None:
        tensors["response"] = _smallest(response.to_array())
    steps = part.steps(row)
    if steps is not None:
        tensors["quantile_levels"] = _smallest(steps.levels)
        tensors["quantiles"] = _smallest(steps.values)
    further = part.further(row)
    if further is not None:
        fields["further_scales"] = []
        missing = further_scales or [1.0] * len(further)
        for g, (more, one) in enumerate(zip(further, missing, strict=True)):
            fields["further_scales"].append(one if _is_scaled(more, one) else 1.0)
            tensors[_further_name(g)] = _unscaled(more, one)
    return fields, tensors


def _settings(part: ShardRequest, config: DecideConfig) -> dict[str, Any]:
    """The configuration as it is stored: no queue counts without a response, or if not known."""
    settings: dict[str, Any] = plain_fields(config)
    rows = [row for row in range(len(part.workloads)) if part.response(row) is not None]
    queues = [part.workloads[row].waiting_load for row in rows]
    if all(one is None for one in queues):
        del settings["max_backlog_steps"]
    return settings


def _format(part: ShardRequest) -> int:
    if part.workloads[0].pool is not None:
        return POOLS_FORMAT
    if part.steps(0) is not None:
        return QUANTILES_FORMAT
    if part.workloads[0].further_capacity:
        return LOADS_FORMAT
    return FORMAT if part.response(0) is None else RESPONSE_FORMAT


def _of_pool(row: int, name: str) -> str:
    return f"pool_{row}_{name}"


def _further_name(g: int) -> str:
    return f"further_paths_{g}"


def _drop_unused(workload: dict[str, Any]) -> None:
    """Leave out what a workload does not have, so that its bytes are what they were before."""
    if not workload["waiting_requests"]:
        del workload["waiting_requests"]
    for name in ("variants", "pool", "waiting_load"):
        if workload[name] is None:
            del workload[name]
    if not workload["further_capacity"]:
        del workload["further_capacity"]
    if workload["sla"]["good_share"] is None:
        del workload["sla"]["good_share"]
    risk = workload["risk"]
    if risk["measured_steps"] == 0.0:
        for name in ("measured_missed", "measured_total", "measured_steps"):
            del risk[name]


def _is_scaled(paths: FloatArray, scale: float) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = (paths / scale).astype(np.float16)
    return np.array_equal(narrow.astype(np.float64) * scale, paths, equal_nan=True)


def _unscaled(paths: FloatArray, scale: float) -> np.ndarray[Any, Any]:
    if not _is_scaled(paths, scale):
        return _smallest(paths)
    return np.ascontiguousarray((paths / scale).astype(np.float16))


def _smallest(values: FloatArray) -> np.ndarray[Any, Any]:
    """The narrowest float type that holds the values exactly."""
    with np.errstate(over="ignore", invalid="ignore"):
        for dtype in (np.float16, np.float32):
            narrow = values.astype(dtype)
            if np.array_equal(narrow.astype(np.float64), values, equal_nan=True):
                return np.ascontiguousarray(narrow)
    return np.ascontiguousarray(values, dtype=np.float64)


def inputs_from_bytes(blob: bytes) -> tuple[ShardRequest, DecideConfig, float, float]:
    """Read inputs back.

    Returns:
        The request of one workload, or of all pools of a service, the configuration, `now_s` and
        `valid_for_s`.

    Raises:
        ReplayMismatch: The bytes are not a decision's inputs, or of another format version.
    """
    header, wide = _read(blob)
    fields = header.get("pools", [header])
    response = MissDraws.from_array(wide["response"]) if "response" in wide else None
    further: list[FloatArray | None] = []
    parts: list[dict[str, FloatArray]] = []
    for i, one in enumerate(fields):
        own = wide if "pools" not in header else _of_row(wide, i)
        scales = one.get("further_scales", [])
        more = [own[_further_name(g)] * scale for g, scale in enumerate(scales)]
        further.append(np.stack(more) if more else None)
        parts.append(own | {"paths": own["paths"] * one["path_scale"]})
    steps = None
    if "quantiles" in wide:
        steps = StepQuantiles(wide["quantile_levels"], wide["quantiles"])
    request = ShardRequest(
        tuple(
            _workload(one["workload"], own["demand"])
            for one, own in zip(fields, parts, strict=True)
        ),
        np.concatenate([own["paths"] for own in parts]),
        np.concatenate([own["capacity_draws"] for own in parts]),
        np.concatenate([own["lead_time_draws_s"] for own in parts]),
        header["step_s"],
        responses=(response,) * len(parts) if response is not None else (),
        further_paths=tuple(further) if any(one is not None for one in further) else (),
        quantiles=(steps,) if steps is not None else (),
    )
    return request, _config(header["config"], wide), header["now_s"], header["valid_for_s"]


def _read(blob: bytes) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Header and arrays of inputs."""
    try:
        raw = zlib.decompress(blob)
        tensors = load_tensors(raw)
        size = int.from_bytes(raw[:8], "little")
        header = json.loads(json.loads(raw[8 : 8 + size])["__metadata__"][_HEADER])
    except Exception as error:  # any of several libraries' errors: the bytes are not ours
        raise ReplayMismatch(f"not a decision's inputs: {error}") from error
    formats = (FORMAT, RESPONSE_FORMAT, LOADS_FORMAT, POOLS_FORMAT, QUANTILES_FORMAT)
    if header.get("format") not in formats:
        known = ", ".join(str(one) for one in formats)
        raise ReplayMismatch(f"format {header.get('format')!r}, this version reads {known}")
    return header, {name: np.asarray(t, dtype=np.float64) for name, t in tensors.items()}


def _of_row(wide: Mapping[str, FloatArray], row: int) -> dict[str, FloatArray]:
    start = _of_pool(row, "")
    return {name[len(start) :]: t for name, t in wide.items() if name.startswith(start)}


def replay_decision(blob: bytes) -> Decision:
    """Make the decision again from its stored inputs."""
    row = int(_read(blob)[0].get("row", 0))
    return replay_service(blob)[row]


def replay_service(blob: bytes) -> tuple[Decision, ...]:
    """Make the decisions about all pools of a service again, or that about one workload."""
    request, config, now_s, valid_for_s = inputs_from_bytes(blob)
    return decide_shard(request, config, now_s, valid_for_s)


def _config(fields: Mapping[str, Any], tensors: Mapping[str, FloatArray]) -> DecideConfig:
    plain = dict(fields)
    if "response" in tensors:
        plain.setdefault("max_backlog_steps", 0.0)  # decided before queues were remembered
    plain["fallback"] = FallbackConfig(**plain["fallback"])
    plain["risk"] = RiskControlConfig(**plain["risk"])
    plain["epsilons"] = tuple(plain["epsilons"])
    return DecideConfig(**plain)


def _workload(fields: Mapping[str, Any], demand: FloatArray) -> WorkloadInput:
    plain = dict(fields)
    replicas = dict(plain["replicas"])
    replicas["starting_age_s"] = tuple(replicas["starting_age_s"])
    replicas["pending_age_s"] = tuple(replicas["pending_age_s"])
    limits = dict(plain["limits"])
    limits["scale_up"], limits["scale_down"] = (
        _rules(limits[name]) for name in ("scale_up", "scale_down")
    )
    history = dict(plain["history"], demand=demand)
    for name in ("changes", "recommendations"):
        history[name] = tuple((float(at), int(n)) for at, n in history[name])
    plain |= {
        "replicas": ReplicaState(**replicas),
        "limits": Limits(**limits),
        "sla": Sla(**plain["sla"]),
        "hardware": Hardware(**plain["hardware"]),
        "control": Control(**plain["control"]),
        "history": History(**history),
        "risk": RiskState(**plain["risk"]),
        "verdict": FleetVerdict(**plain["verdict"]) if plain["verdict"] else None,
    }
    rule = plain.get("trailing_rule")
    plain["trailing_rule"] = TrailingRule(**rule) if rule else None
    variants = plain.get("variants")
    plain["variants"] = _variants(variants) if variants else None
    pool = plain.get("pool")
    plain["pool"] = PoolPlace(**(pool | {"loads": tuple(pool["loads"])})) if pool else None
    plain["further_capacity"] = tuple(plain.get("further_capacity", ()))
    return WorkloadInput(**plain)


def _variants(fields: Mapping[str, Any]) -> VariantSet:
    verdict = fields["verdict"]
    if verdict is not None:
        prices = tuple((str(name), float(price)) for name, price in verdict["prices"])
        counts = tuple(int(n) for n in verdict["counts"])
        verdict = MixVerdict(**(dict(verdict) | {"prices": prices, "counts": counts}))
    return VariantSet(tuple(VariantState(**state) for state in fields["states"]), verdict)


def _rules(fields: Mapping[str, Any]) -> DirectionRules:
    plain = dict(fields)
    plain["policies"] = tuple(RatePolicy(**policy) for policy in plain["policies"])
    return DirectionRules(**plain)
