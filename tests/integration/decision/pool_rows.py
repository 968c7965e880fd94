"""Rows of a service with a pool for prefill and one for decode."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from tests.integration.decision.stored_rows import (
    TOKENS,
    add_demand,
    add_forecast,
    add_workload,
    bound_by_tokens,
)

PREFILL = {
    "name": "prefill", "target": "Deployment/llama-prefill", "gpu_type": "H100",
    "gpus_per_replica": 2, "price_usd_per_gpu_hour": 4.0, "loads": ["request_rate_rps"],
}  # fmt: skip
DECODE = {
    "name": "decode", "target": "Deployment/llama-decode", "gpu_type": "A100",
    "gpus_per_replica": 1, "price_usd_per_gpu_hour": 2.0, "loads": [TOKENS],
}  # fmt: skip


def add_service(engine: Engine, name: str = "llama", **changes: Any) -> int:
    """A prefill replica carries 10 requests/s, a decode replica 200 tokens/s."""
    return add_workload(
        engine, name, **{"mode": "Auto", "pools": [PREFILL, DECODE], "max_replicas": 40}
        | bound_by_tokens() | changes,
    )  # fmt: skip


def add_loads(engine: Engine, workload: int, rate: float, tokens: float, **changes: Any) -> None:
    """Thirty steps of both loads, and a forecast of a little more of both."""
    add_demand(engine, workload, [0.95 * rate] * 30)
    add_demand(engine, workload, [0.95 * tokens] * 30, indicator=TOKENS)
    add_forecast(engine, workload, rate, further={TOKENS: tokens}, **changes)


ROOM = "kv_cache_ratio"


def add_shown_service(engine: Engine, name: str = "llama", of: str = "Room", **changes: Any) -> int:
    """The same, of which decode shows how much of its room for requests, or time, is taken."""
    bound = bound_by_tokens()
    indicators = [
        *bound["indicators"],
        {"name": ROOM, "level": 2, "unit": "ratio", "kind": "gauge"},
    ]
    decode = DECODE | {"occupancy_indicator": ROOM, "occupancy_of": of}
    return add_service(engine, **{"pools": [PREFILL, decode], "indicators": indicators} | changes)
