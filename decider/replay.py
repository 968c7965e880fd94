"""A decision's inputs as bytes, and the same decision from them.

Format: zlib-compressed safetensors with a JSON header; never pickle. One blob holds one workload:
its slice of the shard, the configuration, the time, and what the fleet's budget allowed it.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors, save as save_tensors

from decider.config import DecideConfig, FallbackConfig, RiskControlConfig, TrailingRule
from decider.decide import decide_shard
from decider.errors import ReplayMismatch
from decider.explain import decision_to_dict
from decider.fleet_types import FleetVerdict
from decider.miss_draws import MissDraws
from decider.result import Decision
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
_HEADER = "header"


def decision_bytes(decision: Decision) -> bytes:
    """Canonical bytes of a decision: what a replay must reproduce."""
    return json.dumps(decision_to_dict(decision), separators=(",", ":"), sort_keys=True).encode()


def slice_request(request: ShardRequest, row: int, decision: Decision) -> ShardRequest:
    """The part of a shard that one decision came from, the fleet's verdict included."""
    verdict = None
    if decision.fleet_cap is not None:
        price, detail = decision.shadow_price_usd_per_gpu_hour, decision.guard_trace[-1].detail
        verdict = FleetVerdict(decision.fleet_cap, price, detail)
    workload = replace(request.workloads[row], verdict=verdict)
    if workload.variants is not None and decision.mix is not None:
        variants = replace(workload.variants, verdict=decision.mix.verdict)
        workload = replace(workload, verdict=None, variants=variants)
    one = slice(row, row + 1)
    return ShardRequest(
        (workload,),
        request.paths[one],
        request.capacity_draws[one],
        request.lead_time_draws_s[one],
        request.step_s,
        responses=request.responses[one],
        further_paths=request.further_paths[one],
    )


def inputs_to_bytes(
    request: ShardRequest,
    row: int,
    decision: Decision,
    config: DecideConfig,
    now_s: float,
    path_scale: float | Sequence[float] = 1.0,
) -> bytes:
    """Serialise the inputs of one decision.

    Args:
        request: The shard's request.
        row: The workload's row.
        decision: What was decided.
        config: Settings.
        now_s: Time of the decision, epoch seconds.
        path_scale: The paths are this many times a float16 array (the forecaster stores them
            so), which is then what is kept; arrays are narrowed only where that loses nothing. Of
            several loads one each, (1+F,).
    """
    scale, *further_scales = np.atleast_1d(path_scale).tolist()
    part = slice_request(request, row, decision)
    workload = asdict(part.workloads[0])
    _drop_unused(workload)
    response = part.response(0)
    if response is None or math.isinf(workload["requests_per_step"]):
        del workload["requests_per_step"]  # without a response it is not used
    settings = asdict(config)
    if response is None:
        del settings["max_backlog_steps"]  # nor are queues
    history = workload["history"].pop("demand")
    header: dict[str, Any] = {
        "format": _format(part),
        "now_s": now_s,
        "valid_for_s": decision.valid_until_s - now_s,
        "step_s": part.step_s,
        "config": settings,
        "workload": workload,
        "path_scale": scale if _is_scaled(part.paths, scale) else 1.0,
    }
    tensors = {
        "paths": _unscaled(part.paths, scale),
        "capacity_draws": _smallest(part.capacity_draws),
        "lead_time_draws_s": _smallest(part.lead_time_draws_s),
        "demand": _smallest(np.asarray(history, dtype=float)),
    }
    if response is not None:
        tensors["response"] = _smallest(response.to_array())
    further = part.further(0)
    if further is not None:
        header["further_scales"] = []
        scales = further_scales or [1.0] * len(further)
        for g, (paths, one) in enumerate(zip(further, scales, strict=True)):
            header["further_scales"].append(one if _is_scaled(paths, one) else 1.0)
            tensors[_further_name(g)] = _unscaled(paths, one)
    blob = save_tensors(tensors, metadata={_HEADER: json.dumps(header, sort_keys=True)})
    return zlib.compress(blob, 1)  # sample paths hardly compress: the header does


def _format(part: ShardRequest) -> int:
    if part.workloads[0].further_capacity:
        return LOADS_FORMAT
    return FORMAT if part.response(0) is None else RESPONSE_FORMAT


def _further_name(g: int) -> str:
    return f"further_paths_{g}"


def _drop_unused(workload: dict[str, Any]) -> None:
    """Leave out what a workload does not have, so that its bytes are what they were before."""
    if workload["variants"] is None:
        del workload["variants"]
    for name in ("waiting_load", "waiting_requests"):
        if not workload[name]:
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
        The one-workload request, the configuration, `now_s` and `valid_for_s`.

    Raises:
        ReplayMismatch: The bytes are not a decision's inputs, or of another format version.
    """
    try:
        raw = zlib.decompress(blob)
        tensors = load_tensors(raw)
        size = int.from_bytes(raw[:8], "little")
        header = json.loads(json.loads(raw[8 : 8 + size])["__metadata__"][_HEADER])
    except Exception as error:  # any of several libraries' errors: the bytes are not ours
        raise ReplayMismatch(f"not a decision's inputs: {error}") from error
    formats = (FORMAT, RESPONSE_FORMAT, LOADS_FORMAT)
    if header.get("format") not in formats:
        known = ", ".join(str(one) for one in formats)
        raise ReplayMismatch(f"format {header.get('format')!r}, this version reads {known}")
    wide = {name: np.asarray(t, dtype=np.float64) for name, t in tensors.items()}
    scales = header.get("further_scales", [])
    further = [wide[_further_name(g)] * scale for g, scale in enumerate(scales)]
    request = ShardRequest(
        (_workload(header["workload"], wide["demand"]),),
        wide["paths"] * header["path_scale"],
        wide["capacity_draws"],
        wide["lead_time_draws_s"],
        header["step_s"],
        responses=(MissDraws.from_array(wide["response"]),) if "response" in wide else (),
        further_paths=(np.stack(further),) if further else (),
    )
    return request, _config(header["config"], wide), header["now_s"], header["valid_for_s"]


def replay_decision(blob: bytes) -> Decision:
    """Make the decision again from its stored inputs."""
    request, config, now_s, valid_for_s = inputs_from_bytes(blob)
    return decide_shard(request, config, now_s, valid_for_s)[0]


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
