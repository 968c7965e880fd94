"""PromQL for the metrics of common GPU serving stacks, as indicators of a workload.

Names are those of the public documentation: NVIDIA dcgm-exporter, vLLM ("Production Metrics"),
NVIDIA Triton Inference Server ("Metrics") and the KServe model server ("Prometheus Metrics").
Every expression gives one series per workload and looks back over exactly one step (`$step`), so a
silent exporter leaves a gap instead of repeating its last value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from services.kernel.domain.workload import IndicatorSpec

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_POD = 'namespace="$namespace",pod=~"$pod"'
_PERCENT = 100
_MIB_PER_GIB = 1024
_BYTES_PER_GIB = 2**30


@dataclass(frozen=True, slots=True)
class PresetIndicator:
    """An indicator and its expression; `$namespace` and `$pod` are filled in per workload."""

    name: str
    level: Literal[1, 2, 3]
    unit: str
    expression: str


def _sum_rate(name: str) -> str:
    return f"sum(rate({name}{{{_POD}}}[$step]))"


def _sum_mean(name: str) -> str:
    return f"sum(avg_over_time({name}{{{_POD}}}[$step]))"


def _mean(name: str) -> str:
    return f"avg(avg_over_time({name}{{{_POD}}}[$step]))"


def _p95_ms(name: str) -> str:
    rate = f"sum by (le) (rate({name}_bucket{{{_POD}}}[$step]))"
    return f"1000 * histogram_quantile(0.95, {rate})"


def _mean_ms(duration_us: str, count: str) -> str:
    return f"{_sum_rate(duration_us)} / {_sum_rate(count)} / 1000"


PRESETS: dict[str, tuple[PresetIndicator, ...]] = {
    "vllm": (
        PresetIndicator(
            "request_rate_rps", 1, "requests/s", _sum_rate("vllm:request_success_total")
        ),
        PresetIndicator("input_tokens_per_s", 1, "tokens/s", _sum_rate("vllm:prompt_tokens_total")),
        PresetIndicator(
            "output_tokens_per_s", 1, "tokens/s", _sum_rate("vllm:generation_tokens_total")
        ),
        PresetIndicator("latency_p95_ms", 1, "ms", _p95_ms("vllm:e2e_request_latency_seconds")),
        PresetIndicator("ttft_p95_ms", 1, "ms", _p95_ms("vllm:time_to_first_token_seconds")),
        PresetIndicator("queue_requests", 2, "requests", _sum_mean("vllm:num_requests_waiting")),
        PresetIndicator(
            "concurrency_requests", 2, "requests", _sum_mean("vllm:num_requests_running")
        ),
        PresetIndicator("kv_cache_ratio", 2, "ratio", _mean("vllm:kv_cache_usage_perc")),
    ),
    "triton": (
        PresetIndicator(
            "request_rate_rps", 1, "requests/s", _sum_rate("nv_inference_request_success")
        ),
        PresetIndicator("inference_rate_per_s", 1, "inferences/s", _sum_rate("nv_inference_count")),
        PresetIndicator(
            "latency_mean_ms",
            1,
            "ms",
            _mean_ms("nv_inference_request_duration_us", "nv_inference_request_success"),
        ),
        PresetIndicator(
            "queue_mean_ms",
            2,
            "ms",
            _mean_ms("nv_inference_queue_duration_us", "nv_inference_request_success"),
        ),
        PresetIndicator(
            "queue_requests", 2, "requests", _sum_mean("nv_inference_pending_request_count")
        ),
        PresetIndicator("gpu_duty_ratio", 3, "ratio", _mean("nv_gpu_utilization")),
        PresetIndicator(
            "gpu_memory_gib",
            3,
            "GiB",
            f"{_sum_mean('nv_gpu_memory_used_bytes')} / {_BYTES_PER_GIB}",
        ),
    ),
    "kserve": (
        PresetIndicator(
            "request_rate_rps", 1, "requests/s", _sum_rate("request_predict_seconds_count")
        ),
        PresetIndicator("latency_p95_ms", 1, "ms", _p95_ms("request_predict_seconds")),
        PresetIndicator(
            "concurrency_requests", 2, "requests", _sum_rate("request_predict_seconds_sum")
        ),
    ),
    "dcgm": (
        PresetIndicator(
            "gpu_duty_ratio", 3, "ratio", f"{_mean('DCGM_FI_DEV_GPU_UTIL')} / {_PERCENT}"
        ),
        PresetIndicator("sm_active_ratio", 3, "ratio", _mean("DCGM_FI_PROF_SM_ACTIVE")),
        PresetIndicator(
            "tensor_active_ratio", 3, "ratio", _mean("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE")
        ),
        PresetIndicator(
            "gpu_memory_gib", 3, "GiB", f"{_sum_mean('DCGM_FI_DEV_FB_USED')} / {_MIB_PER_GIB}"
        ),
        PresetIndicator("gpu_power_w", 3, "W", _sum_mean("DCGM_FI_DEV_POWER_USAGE")),
    ),
}


def preset_indicators(
    presets: tuple[str, ...], namespace: str, workload: str
) -> tuple[IndicatorSpec, ...]:
    """The indicators of some presets for one workload; of a name given twice the first counts.

    Args:
        presets: Keys of `PRESETS`, e.g. `("vllm", "dcgm")`.
        namespace: Namespace of the workload.
        workload: Name of its scale target; its pods are named `<workload>-…`.

    Raises:
        ValueError: A preset is unknown, or a name is not one of Kubernetes.
    """
    for label, value in (("namespace", namespace), ("workload", workload)):
        if not _NAME.fullmatch(value):
            raise ValueError(f"{label}={value!r} must be a Kubernetes name, e.g. 'llama-70b'")
    found: dict[str, IndicatorSpec] = {}
    for preset in presets:
        if preset not in PRESETS:
            raise ValueError(f"preset={preset!r} must be one of {sorted(PRESETS)}")
        for indicator in PRESETS[preset]:
            found.setdefault(
                indicator.name,
                IndicatorSpec(
                    name=indicator.name,
                    level=indicator.level,
                    unit=indicator.unit,
                    query=_fill(indicator.expression, namespace, workload),
                ),
            )
    return tuple(found.values())


def _fill(expression: str, namespace: str, workload: str) -> str:
    # in a PromQL string the backslash of the regular expression is itself escaped
    pods = workload.replace(".", "\\\\.") + "-.*"
    return expression.replace("$namespace", namespace).replace("$pod", pods)
