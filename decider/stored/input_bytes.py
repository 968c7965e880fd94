"""The container of a decision's inputs: a JSON header and named arrays as few bytes.

zlib-compressed safetensors; never pickle. Most of a header is the same in every decision, so the
compression starts from a typical one. What was written without it is read as before.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors, save as save_tensors

from decider.errors import ReplayMismatch

FORMAT = 7
"""Of what is written now."""
FORMATS = (1, 2, 3, 4, 5, 6, FORMAT)
"""Of what can be read. Up to 6 the paths are in the inputs, and which parts they have tells one
format from the other."""
_HEADER = "header"
_LEVEL = 6
_TYPICAL = (
    '"verdict": {"cap": 9, "detail": "", "shadow_price_usd_per_gpu_hour": 0.0}, "trailing_rule": '
    '{"margin_ratio": 0.1, "percentile": 0.98, "window_steps": 60}, "policies": [{"kind": "Percent"'
    ', "period_s": 15.0, "value": 100}, {"kind": "Pods", "period_s": 60.0, "value": 4}], '
    '"pool": {"loads": [0], "name": "prefill", "service": ""}, "max_backlog_steps": 3.0, '
    '"schedulable_gpus": null, "price_usd_per_gpu_hour": 4.0, "kind": "DemandFraction", '
    '"variants": {"states": [{"capacity_ratio": 1.0, "name": ""}], "verdict": null}, '
    '"waiting_load": 0.0, "waiting_requests": 0.0, "further_capacity": [], '
    '"rung": "best-simple", "smoothed", "seasonal", "last_value", '
    '{"config": {"consolidation_ratio": 1.0, "epsilons": [0.001, 0.01, 0.05, 0.1], "fallback": '
    '{"forecast_max_age_steps": 3, "last_demand_s": 60.0, "margin_ratio": 0.1, "min_observed": 12, '
    '"percentile": 0.98, "stale_after_s": 900.0}, "first_step_ratio": 10.0, "max_candidates": 64, '
    '"max_multiplier": 100000.0, "n_bisections": 6, "n_multipliers": 14, "n_pairs": 3, '
    '"reactive_floor_ratio": 1.0, "risk": {"aim_ratio": 0.97, "gain": 0.0005, "max_drop": 0.5, '
    '"max_level": 0.3, "max_level_ratio": 8.0, "max_risk_ratio": 4.0, "min_level_ratio": 0.05, '
    '"multiplier_gain": 0.03, "pacing_gain": 0.1, "pacing_steps": 288.0}, "shortage_price_ratio": '
    '2.0, "spread_sigma": 0.5, "start_cost_steps": 0.5, "stop_cost_steps": 0.5}, "forecast": '
    '{"digest": "", "further": []}, "format": 7, "now_s": 1790000000.0, "pools": [], "row": 0, '
    '"by_quantiles": true, "has_further": false, "step_s": 60.0, "valid_for_s": 180.0, "workload": '
    '{"control": {"freeze": null, "is_automatic": true, "is_paused": false, "paused_until_s": null,'
    ' "scale_in_only": false, "scale_out_only": false, "schedule": "", "schedule_max": null, '
    '"schedule_min": null}, "forecast_origin_s": 1790000000.0, "forecast_rung": "model", '
    '"hardware": {"gpu_type": "H100", "gpus_per_replica": 1, "price_usd_per_gpu_hour": 2.5}, '
    '"has_replica_state": true, "history": {"changes": [], "demand_until_s": 1790000000.0, '
    '"recommendations": []}, "is_model_trusted": true, "limits": {"max_replicas": 24, '
    '"min_replicas": 1, "scale_down": {"policies": [], "select_policy": "Max", '
    '"stabilization_window_s": 0.0, "tolerance": 0.0}, "scale_up": {"policies": [], '
    '"select_policy": "Max", "stabilization_window_s": 0.0, "tolerance": 0.0}, "static_replicas": '
    'null}, "replicas": {"pending_age_s": [], "ready": 9, "schedulable_gpus": 12, "spec": 9, '
    '"starting_age_s": []}, "requests_per_step": 100.0, "risk": {"log_level": -0.0009, '
    '"log_multiplier": 2.283793767900611, "measured_missed": 0.0, "measured_steps": 0.0, '
    '"measured_total": 0.0, "observed_steps": 5.0, "spent_steps": 0.0}, "sla": {"class_weight": '
    '2.0, "epsilon": 0.01, "good_share": 0.95, "kind": "TimeFraction", "window_s": 2419200.0}, '
    '"trailing_rule": null, "trust_reason": "", "verdict": null, "workload": "prod/"}}'
)
_ARRAYS = (
    '"},"lead_time_draws_s":{"dtype":"F32","shape":[1,64],"data_offsets":[0,256]},'
    '"demand":{"dtype":"F32","shape":[1],"data_offsets":[256,260]},'
    '"capacity_draws":{"dtype":"F16","shape":[1,64],"data_offsets":[260,388]}}'
)
# never to change: stored inputs are read with it
DICTIONARY = b'{"__metadata__":{"header":' + json.dumps(_TYPICAL).encode() + _ARRAYS.encode()


def pack(header: Mapping[str, Any], tensors: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """A header and arrays as bytes."""
    written = json.dumps(header, sort_keys=True)
    blob = save_tensors(dict(tensors), metadata={_HEADER: written})
    packer = zlib.compressobj(_LEVEL, zdict=DICTIONARY)
    return packer.compress(blob) + packer.flush()


def unpacked(blob: bytes) -> bytes:
    """The bytes before they were compressed, with the typical header or without one."""
    unpacker = zlib.decompressobj(zdict=DICTIONARY)
    return unpacker.decompress(blob) + unpacker.flush()


def unpack(blob: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Header and arrays of inputs, the arrays in double precision.

    Raises:
        ReplayMismatch: The bytes are not a decision's inputs, or of another format version.
    """
    try:
        raw = unpacked(blob)
        tensors = load_tensors(raw)
        size = int.from_bytes(raw[:8], "little")
        header = json.loads(json.loads(raw[8 : 8 + size])["__metadata__"][_HEADER])
    except Exception as error:  # any of several libraries' errors: the bytes are not ours
        raise ReplayMismatch(f"not a decision's inputs: {error}") from error
    if header.get("format") not in FORMATS:
        known = ", ".join(str(one) for one in FORMATS)
        raise ReplayMismatch(f"format {header.get('format')!r}, this version reads {known}")
    return header, {name: np.asarray(t, dtype=np.float64) for name, t in tensors.items()}


def smallest(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The narrowest float type that holds the values exactly."""
    with np.errstate(over="ignore", invalid="ignore"):
        for dtype in (np.float16, np.float32):
            narrow = values.astype(dtype)
            if np.array_equal(narrow.astype(np.float64), values, equal_nan=True):
                return np.ascontiguousarray(narrow)
    return np.ascontiguousarray(values, dtype=np.float64)
