"""Small clusters and deployments for tests of the engine."""

from __future__ import annotations

from hypothesis import strategies as st

from services.simulator.engine.engine import (
    ANY_GPU_TYPE,
    ClusterEngine,
    DeploymentSpec,
    NodeSpec,
    StartupSpec,
)

FAST = StartupSpec(median_s=30.0, sigma=0.0)


def nodes(n: int = 2, gpus: int = 4, gpu_type: str = "H100") -> list[NodeSpec]:
    return [NodeSpec(f"{gpu_type.lower()}-{i}", gpu_type, gpus) for i in range(n)]


def engine(n: int = 2, gpus: int = 4, *, seed: int = 1) -> ClusterEngine:
    return ClusterEngine(nodes(n, gpus), seed=seed, now_s=0.0)


def spec(key: str = "ns/a", **changes: object) -> DeploymentSpec:
    values: dict[str, object] = {
        "key": key,
        "gpu_type": "H100",
        "gpus_per_pod": 1,
        "startup": FAST,
        "replicas": 0,
    }
    return DeploymentSpec(**(values | changes))  # type: ignore[arg-type]  # free test values


def start_lengths(cluster: ClusterEngine, key: str, times: list[float]) -> dict[int, float]:
    for i, at_s in enumerate(times):
        cluster.advance(at_s)
        cluster.scale(key, i + 1)
    cluster.advance(1e6)
    return {p.ordinal: p.ready_s - p.bound_s for p in cluster.pods(key) if p.ready_s and p.bound_s}


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["ns/a", "ns/b", "ns/c"]),
        st.integers(0, 9),
        st.floats(0.0, 100.0),
    ),
    min_size=1,
    max_size=25,
)


def busy_cluster(seed: int = 3) -> ClusterEngine:
    cluster = ClusterEngine([*nodes(2, 4), *nodes(1, 3, "L4")], seed=seed, now_s=1_000.0)
    startup = StartupSpec(median_s=40.0, sigma=0.4, fail_probability=0.2, restart_s=5.0)
    cluster.add_deployment(spec("ns/a", startup=startup, replicas=1))
    cluster.add_deployment(spec("ns/b", startup=startup, gpus_per_pod=2, replicas=1))
    cluster.add_deployment(spec("ns/c", startup=startup, gpu_type=ANY_GPU_TYPE))
    return cluster
