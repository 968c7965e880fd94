"""Services with pools, and what their counts miss together by brute force."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from decider import (
    Limits,
    MissDraws,
    PoolPlace,
    ReplicaState,
    ShardRequest,
    Sla,
    WorkloadInput,
    equivalent_capacity,
    pool_response,
)
from decider.belief.misses import bad_probability, effective_concentration
from decider.planning.fallback import DecisionTime, Standing, stand
from decider.tables.pairing import paired_draws
from decider.tables.scenarios import Scenarios
from decider.types import FloatArray, RiskKind
from tests.unit.decider.shards import NOW_S, shard, workload
from tests.unit.decider.tables.soft_cases import N_DRAWS, response, sla

NAMES = ("prefill", "decode", "embed", "rank")


def service_response(seed: int = 0, n_further: int = 1, **given: float) -> MissDraws:
    """Draws of a service whose further loads have capacities 20, 40, ...; the demand's is 10."""
    one, rng = response(seed, **given), np.random.default_rng(seed + 100)
    further = 20.0 * 2.0 ** np.arange(n_further)
    further = further * np.exp(0.1 * rng.standard_normal((N_DRAWS, n_further)))
    sharing = 1.0 + rng.lognormal(1.5, 0.5, N_DRAWS)
    return MissDraws(one.capacity, one.slope, one.floor, one.concentration, sharing, further)


def pool(name: str = "prefill", service: str = "svc", load: int = 0, **changes: Any):
    """A pool with one load."""
    given = workload(f"{service}/{name}", pool=PoolPlace(service, name, (load,)))
    return replace(given, **({"sla": sla()} | changes))


def service(
    paths: np.ndarray,
    drawn: MissDraws | None = None,
    pools: list[WorkloadInput] | None = None,
    **given: Any,
) -> ShardRequest:
    """A service whose loads (P, S, H) fall on a pool each.

    Without a response a replica of every pool carries 10.
    """
    owners = pools or [pool(NAMES[g], load=g) for g in range(len(paths))]
    request = shard(paths, owners, **given)
    if drawn is None:
        return request
    capacity = [
        equivalent_capacity(
            pool_response(drawn, w.pool.loads if w.pool else ()), w.sla, w.requests_per_step
        )
        for w in owners
    ]
    return replace(request, capacity_draws=np.stack(capacity), responses=(drawn,) * len(owners))


def two_pools(promise: Sla, spec: int = 10, most: int = 60, **changes: Any) -> list[WorkloadInput]:
    """Prefill and decode alike."""
    given = {
        "sla": promise,
        "replicas": ReplicaState(spec, spec),
        "limits": Limits(1, most),
    } | changes
    return [pool(NAMES[g], load=g, **given) for g in range(2)]


def standings(request: ShardRequest, config: Any) -> list[Standing]:
    time = DecisionTime(NOW_S, request.step_s)
    return [
        stand(w, request.paths[i], time, 10.0, config.fallback, request.further(i))
        for i, w in enumerate(request.workloads)
    ]


def brute_risk(
    request: ShardRequest, scenarios: Scenarios, counts: FloatArray, kind: RiskKind
) -> FloatArray:
    """(H,) risk of a service of one load per pool on counts (P,), scenario by scenario."""
    whole = request.responses[0] if request.responses else None
    demand = scenarios.demand
    n, horizon = demand.shape[1:]
    found = np.zeros(horizon)
    weight = scenarios.raw[0] / scenarios.raw[0].mean()
    for s in range(n):
        for h in range(horizon):
            load = demand[:, s, h] / counts
            if whole is None:
                out = float((load > 10.0).any())
            else:
                p = int(paired_draws(whole.capacity.size, n)[s])
                alone = np.array([whole.capacity[p], *whole.further[p]])
                use = ((load / alone) ** whole.sharing[p]).sum() ** (1.0 / whole.sharing[p])
                out = float(use ** whole.slope[p] / (1.0 + use ** whole.slope[p]))
                if kind != "DemandFraction":
                    owner = request.workloads[0]
                    total = effective_concentration(
                        whole.concentration[p : p + 1], owner.requests_per_step
                    )
                    odds = np.array([whole.slope[p] * np.log(use)])
                    out = float(bad_probability(odds, total, 0.05)[0])
            found[h] += out * (weight[s, h] if kind == "DemandFraction" else 1.0)
    return found / n
