"""Profiles of the kinds of workload: hardware, capacity, cycles, service times, indicators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.kernel.domain import IndicatorSpec
from services.simulator.fleet.calibration import (
    BASE_MODEL_LOAD_MEDIAN_S,
    BASE_MODEL_LOAD_SIGMA,
    DIFFUSION_GPU_MEMORY_GIB,
    DIFFUSION_LATENCY_MEDIAN_S,
)
from services.simulator.fleet.fleet import WorkloadKind

PRICE_USD_PER_GPU_HOUR = {"H100": 2.50, "A100": 1.60, "L4": 0.60}

CLOSED_LOOP = (
    IndicatorSpec(name="latency_p50_ms", level=1, unit="ms"),
    IndicatorSpec(name="latency_p95_ms", level=1, unit="ms"),
    IndicatorSpec(name="queue_requests", level=2, unit="requests"),
    IndicatorSpec(name="concurrency_requests", level=2, unit="requests"),
    IndicatorSpec(name="pod_memory_gib", level=2, unit="GiB per pod"),
    IndicatorSpec(name="gpu_duty_ratio", level=3, unit="ratio"),
    IndicatorSpec(name="gpu_memory_gib", level=3, unit="GiB per GPU"),
)
"""Indicators that follow from demand and allocation, in the order of `response.respond`."""


@dataclass(frozen=True, slots=True)
class KindProfile:
    """Ranges and constants of one kind; ranges are (low, high), drawn uniformly per workload.

    Attributes:
        indicators: Exogenous indicators in the order that the generator writes them.
        demand: Name of the demand indicator.
        hardware: Choices of (gpu_type, gpus_per_replica, capacity_per_replica).
        work_per_request: Demand that one request per second causes (tokens, GPU-seconds, 1).
        work_cv: Coefficient of variation of the work of single requests.
        lag_s: How long the work follows the request by.
        clients_per_rps: Active clients for each request per second.
        daily_amplitude: Log amplitude of the daily cycle.
        weekend_log: Log level of week-ends.
        bursts_per_day: Rate of bursts.
        service_s: Median latency without queueing.
        start_extra_s: Scheduling, image and weights, on top of the model load.
        gpu_memory_gib: Memory in use per GPU when idle, and what load adds.
        pod_memory_gib: Memory of a pod when idle, and what load adds.
    """

    indicators: tuple[IndicatorSpec, ...]
    demand: str
    hardware: tuple[tuple[str, int, float], ...]
    work_per_request: tuple[float, float]
    work_cv: float
    lag_s: tuple[float, float]
    clients_per_rps: tuple[float, float]
    daily_amplitude: tuple[float, float]
    weekend_log: tuple[float, float]
    bursts_per_day: tuple[float, float]
    service_s: float
    start_extra_s: tuple[float, float]
    gpu_memory_gib: tuple[float, float]
    pod_memory_gib: tuple[float, float]
    start_model_s: float = BASE_MODEL_LOAD_MEDIAN_S
    start_sigma: float = BASE_MODEL_LOAD_SIGMA


def _exogenous(*specs: tuple[str, Literal[1, 2, 3], str]) -> tuple[IndicatorSpec, ...]:
    return tuple(IndicatorSpec(name=n, level=level, unit=unit) for n, level, unit in specs)


LLM = KindProfile(
    indicators=_exogenous(
        ("request_rate_rps", 1, "requests/s"),
        ("active_clients", 1, "clients"),
        ("input_tokens_per_s", 1, "tokens/s"),
        ("output_tokens_per_s", 1, "tokens/s"),
    ),
    demand="output_tokens_per_s",
    hardware=(
        ("H100", 1, 1900.0),
        ("H100", 2, 3600.0),
        ("H100", 4, 6900.0),
        ("A100", 1, 1000.0),
        ("A100", 2, 1900.0),
    ),
    work_per_request=(60.0, 420.0),
    work_cv=1.2,
    lag_s=(30.0, 120.0),
    clients_per_rps=(2.0, 12.0),
    daily_amplitude=(0.30, 0.60),
    weekend_log=(-0.45, 0.05),
    bursts_per_day=(1.5, 6.0),
    service_s=6.0,
    start_extra_s=(45.0, 150.0),
    gpu_memory_gib=(70.0, 3.0),
    pod_memory_gib=(38.0, 9.0),
)
DIFFUSION = KindProfile(
    indicators=_exogenous(
        ("request_rate_rps", 1, "requests/s"),
        ("active_clients", 1, "clients"),
        ("denoising_steps_per_s", 1, "steps/s"),
        ("gpu_busy", 3, "GPUs"),
    ),
    demand="gpu_busy",
    hardware=(("A100", 1, 0.80), ("L4", 1, 0.80)),
    work_per_request=(6.0, 20.0),
    work_cv=0.9,
    lag_s=(15.0, 60.0),
    clients_per_rps=(60.0, 200.0),
    daily_amplitude=(0.25, 0.60),
    weekend_log=(-0.30, 0.25),
    bursts_per_day=(2.0, 6.0),
    service_s=DIFFUSION_LATENCY_MEDIAN_S,
    start_extra_s=(20.0, 60.0),
    gpu_memory_gib=(DIFFUSION_GPU_MEMORY_GIB, -2.0),
    pod_memory_gib=(30.0, 1.0),
)
VISION = KindProfile(
    indicators=_exogenous(
        ("request_rate_rps", 1, "requests/s"),
        ("active_clients", 1, "clients"),
        ("payload_mib_per_s", 1, "MiB/s"),
        ("batch_items_per_s", 1, "items/s"),
    ),
    demand="request_rate_rps",
    hardware=(("L4", 1, 90.0), ("L4", 1, 140.0), ("L4", 2, 260.0)),
    work_per_request=(1.0, 1.0),
    work_cv=0.0,
    lag_s=(0.0, 0.0),
    clients_per_rps=(0.05, 0.4),
    daily_amplitude=(0.25, 0.55),
    weekend_log=(-0.60, 0.0),
    bursts_per_day=(1.0, 4.0),
    service_s=0.12,
    start_extra_s=(10.0, 25.0),
    gpu_memory_gib=(6.0, 1.5),
    pod_memory_gib=(6.0, 2.0),
    start_model_s=8.0,
    start_sigma=0.30,
)

PROFILES: dict[WorkloadKind, KindProfile] = {"llm": LLM, "diffusion": DIFFUSION, "vision": VISION}
