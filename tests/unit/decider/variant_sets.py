"""Workloads with variants for the decider's tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from decider import Hardware, ReplicaState, WorkloadInput
from decider.mix.candidates import MixRequest
from decider.variant_types import VariantSet, VariantState, whole
from tests.unit.decider.shards import workload

TYPES = ("H100", "L4", "A100")


def h100(spec: int = 4, **changes: Any) -> VariantState:
    """One H100 that serves a reference replica at 4 USD/h."""
    return VariantState("h100", "H100", 1, 1.0, 4.0, spec=spec, **changes)


def l4(spec: int = 0, ratio: float = 0.5, price: float = 1.0, **changes: Any) -> VariantState:
    return VariantState("l4", "L4", 1, ratio, price, spec=spec, **changes)


def random_request(seed: int, *, n_variants: int = 2, is_free: bool = True) -> MixRequest:
    """A request on one to three types; with `is_free` only the variants' own bounds limit it."""
    rng = np.random.default_rng(seed)
    states = []
    for i in range(n_variants):
        least = int(rng.integers(0, 2)) * int(rng.integers(0, 2))
        most = int(rng.integers(max(1, least), 9))
        states.append(
            VariantState(
                f"v{i}", TYPES[i], int(rng.choice([1, 2, 4])),
                float(np.round(rng.uniform(0.2, 2.5), 2)) if i else 1.0,
                float(np.round(rng.uniform(0.5, 5), 2)), least, most, int(rng.integers(0, 7)),
                pending=0 if is_free else int(rng.integers(0, 3)),
                schedulable_gpus=None if is_free or rng.random() < 0.5 else int(rng.integers(0, 9)),
                held="" if is_free or rng.random() < 0.8 else "held",
            )
        )  # fmt: skip
    variants = VariantSet(tuple(states))
    low = int(rng.integers(0, 4))
    wanted = low + int(rng.integers(0, 6))
    drops = rng.exponential(20, wanted - low)
    loss = np.concatenate([np.cumsum(drops[::-1])[::-1], [0.0]])
    limits: dict[str, Any] = {}
    if not is_free:
        limits = {
            "start_ratio": 0.1, "stop_ratio": 0.1,
            "may_rise": bool(rng.random() < 0.8), "may_fall": bool(rng.random() < 0.8),
            "is_fixed": bool(rng.random() < 0.1),
            "most_started": float(rng.choice([1.0, 3.0, np.inf])),
            "most_stopped": float(rng.choice([1.0, 3.0, np.inf])),
            "closed_types": frozenset({"L4"}) if rng.random() < 0.2 else frozenset(),
        }  # fmt: skip
    return MixRequest(variants, wanted, low, wanted + int(rng.integers(0, 4)), loss, **limits)


def mixed(name: str = "mixed", *states: VariantState, **changes: Any) -> WorkloadInput:
    """A workload of a shard that runs on variants; its totals follow from them."""
    given = VariantSet(states or (h100(10), l4()))
    total = whole(given.units(given.current))
    first = given.states[0]
    hardware = Hardware(first.gpu_type, first.gpus_per_replica, first.price_usd_per_gpu_hour)
    return workload(
        name, **({"replicas": ReplicaState(total, total), "hardware": hardware,
                  "variants": given} | changes)
    )  # fmt: skip
