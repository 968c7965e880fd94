"""Presets of NVIDIA Triton Inference Server, alone and with the TensorRT-LLM backend."""

from __future__ import annotations

from services.kernel.domain.presets.promql import PODS
from services.kernel.domain.presets.shape import (
    GoalHistogram,
    LossCounter,
    Preset,
    PresetIndicator as Indicator,
)

_SUCCESS = "nv_inference_request_success"
_FAILURE = ("nv_inference_request_failure",)
_FIRST_MS = "nv_inference_first_response_histogram_ms"
_HISTOGRAMS = "--metrics-config histogram_latencies=true, and a decoupled model"
_BYTES_PER_GIB = 2**30
_REPOSITORY = "triton-inference-server/server dcc9123c8d7e docs/user_guide/metrics.md"
_ENGINE = 'model="tensorrt_llm"'
_REQUESTS = "nv_trt_llm_request_metrics"

_FIRST_RESPONSE = GoalHistogram(
    "ttft",
    (_FIRST_MS,),
    (0.1, 0.5, 2.0, 5.0),
    unit_s=0.001,
    needs=_HISTOGRAMS,
    note="to the first response, which may hold several tokens; edges are set by model_metrics",
)
_LOSSES = (
    LossCounter("error", _FAILURE, 'reason=~"BACKEND|OTHER"'),
    LossCounter("refusal", _FAILURE, 'reason="REJECTED"'),
    LossCounter("abort", _FAILURE, 'reason="CANCELED"'),
)
_TTFT = Indicator("ttft_p95_ms", 1, "ms", PODS.p95_ms(_FIRST_MS, unit_ms=1), _HISTOGRAMS)


def _per_request(name: str, level: int, total_us: str, labels: str = "") -> Indicator:
    expressions = PODS.mean_ms(total_us, _SUCCESS, labels)
    return Indicator(name, 1 if level == 1 else 2, "ms", expressions)


TRITON = Preset(
    name="triton",
    program="Triton Inference Server",
    sources=(_REPOSITORY,),
    place="replica",
    counts="finished",
    marks=(_SUCCESS,),
    demands=("request_rate_rps", "inference_rate_per_s"),
    indicators=(
        Indicator("request_rate_rps", 1, "requests/s", PODS.sum_rate(_SUCCESS)),
        Indicator("inference_rate_per_s", 1, "inferences/s", PODS.sum_rate("nv_inference_count")),
        _per_request("latency_mean_ms", 1, "nv_inference_request_duration_us"),
        _TTFT,
        _per_request("queue_mean_ms", 2, "nv_inference_queue_duration_us"),
        Indicator(
            "queue_requests", 2, "requests", PODS.sum_mean("nv_inference_pending_request_count")
        ),
        Indicator("gpu_duty_ratio", 3, "ratio", PODS.mean("nv_gpu_utilization")),
        Indicator(
            "gpu_memory_gib",
            3,
            "GiB",
            (f"{PODS.sum_mean('nv_gpu_memory_used_bytes')[0]} / {_BYTES_PER_GIB}",),
        ),
    ),
    goals=(_FIRST_RESPONSE,),
    losses=_LOSSES,
)

TENSORRT_LLM_TRITON = Preset(
    name="tensorrt-llm-triton",
    program="TensorRT-LLM behind Triton",
    sources=(
        _REPOSITORY,
        "docs.nvidia.com, Triton user guide, tensorrtllm_backend README (Triton metrics)",
        "triton-inference-server/tensorrtllm_backend 39ba55a74526 README.md (an older one)",
    ),
    place="replica",
    counts="finished",
    marks=(_REQUESTS,),
    demands=("request_rate_rps",),
    indicators=(
        # preprocessing, engine and postprocessing are a model each: only the engine's is counted
        Indicator("request_rate_rps", 1, "requests/s", PODS.sum_rate(_SUCCESS, labels=_ENGINE)),
        _per_request("latency_mean_ms", 1, "nv_inference_request_duration_us", _ENGINE),
        _TTFT,
        Indicator(
            "queue_requests",
            2,
            "requests",
            PODS.sum_mean(_REQUESTS, labels='request_type="waiting"'),
        ),
        Indicator(
            "concurrency_requests",
            2,
            "requests",
            PODS.sum_mean(_REQUESTS, labels='request_type="scheduled"'),
        ),
        Indicator(
            "kv_cache_ratio",
            2,
            "ratio",
            PODS.mean("nv_trt_llm_kv_cache_block_metrics", labels='kv_cache_block_type="fraction"'),
        ),
    ),
    goals=(_FIRST_RESPONSE,),
    losses=_LOSSES,
)
