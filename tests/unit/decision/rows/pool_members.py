"""A service whose prefill pool serves requests and whose decode pool serves tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from services.decision.rows.inputs import ShardRows
from services.decision.rows.members import ShardMember
from services.kernel.domain import WorkloadSpec

NOW = datetime(2026, 1, 6, 12, 5, tzinfo=UTC)
ORIGIN = NOW - timedelta(seconds=300)
RATE, TOKENS = "request_rate_rps", "output_tokens_per_s"
AT_S = ORIGIN.timestamp() - 300.0 * np.arange(3)[::-1]


def member(**changes: Any) -> ShardMember:
    """A prefill replica carries 10 requests/s, a decode replica 200 tokens/s."""
    spec = {
        "target": "Deployment/prefill",
        "demand": RATE,
        "indicators": [{"name": name, "level": 1} for name in (RATE, TOKENS)],
        "capacity": {
            "per_replica": 10.0,
            "also_bound_by": [{"indicator": TOKENS, "per_replica": 200.0}],
        },
        "pools": [
            {"name": "prefill", "target": "Deployment/prefill", "gpu_type": "H100",
             "loads": [RATE]},
            {"name": "decode", "target": "Deployment/decode", "gpu_type": "A100",
             "loads": [TOKENS]},
        ],
    }  # fmt: skip
    return ShardMember(1, "demo", "w", 300, WorkloadSpec.model_validate(spec | changes))


def pool(spec: int, ready: int | None = None) -> dict[str, Any]:
    n_ready = spec if ready is None else ready
    ages = [30.0] * (spec - n_ready)
    return {
        "spec": spec, "ready": n_ready, "starting": len(ages), "pending": 0,
        "start_ages_s": ages, "schedulable_gpus": 8, "held": "",
    }  # fmt: skip


def state(at: datetime = NOW, **pools: dict[str, Any]) -> dict[str, Any]:
    """A snapshot."""
    totals = {part: sum(p[part] for p in pools.values()) for part in ("ready", "starting")}
    return {
        "observed_at": at,
        "ready_replicas": totals["ready"],
        "starting_replicas": totals["starting"],
        "variants": pools,
    }


def decision(id_: int, at: datetime, **counts: tuple[int, int, int]) -> dict[str, Any]:
    """A decision with the current, wanted and decided count of each pool."""
    pools = [
        {"name": name, "current": current, "raw": raw, "desired": desired}
        for name, (current, raw, desired) in counts.items()
    ]
    return {
        "id": id_, "origin_at": at - timedelta(seconds=300), "decided_at": at,
        "raw_replicas": sum(p["raw"] for p in pools),
        "desired_replicas": sum(p["desired"] for p in pools), "variants": pools,
    }  # fmt: skip


def rows(**more: Any) -> ShardRows:
    """Three steps of 38 requests/s and 1900 tokens/s."""
    return ShardRows(
        demand={1: (AT_S, np.full(3, 38.0))},
        further={1: {TOKENS: (AT_S, np.full(3, 1900.0))}},
        **more,
    )


def forecast(has_tokens: bool = True, n_paths: int = 5) -> Any:
    """Paths of 40 requests/s and 2000 tokens/s over six steps, the first path the lowest."""
    shape = np.repeat(np.linspace(0.9, 1.1, n_paths)[:, None], 6, axis=1)
    scaled = (shape / 1.1).astype(np.float16).tobytes()
    beside: dict[str, Any] = {"further_names": None, "further_paths": None, "further_scales": None}
    if has_tokens:
        beside = {"further_names": [TOKENS], "further_paths": scaled, "further_scales": [2200.0]}
    return {
        "id": 1, "workload_id": 1, "origin_at": ORIGIN, "model_version": "m", "rung": "model",
        "reason": "", "step_s": 300, "n_horizon": 6, "n_paths": n_paths, "paths": scaled,
        "path_scale": 44.0, "quantile_levels": [0.5], "quantiles": [[40.0] * 6],
    } | beside  # fmt: skip
