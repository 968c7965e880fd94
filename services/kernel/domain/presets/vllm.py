"""Preset of vLLM, by its present and its older names."""

from __future__ import annotations

from services.kernel.domain.presets.offered import Counted, Ratio, engine_loads
from services.kernel.domain.presets.promql import PODS
from services.kernel.domain.presets.shape import (
    GoalHistogram,
    LossCounter,
    Preset,
    PresetIndicator as Indicator,
)

_TTFT = "vllm:time_to_first_token_seconds"
_ITL = ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")
_TPOT = "vllm:request_time_per_output_token_seconds"
_E2E = "vllm:e2e_request_latency_seconds"
_QUEUE = "vllm:request_queue_time_seconds"
_FINISHED = "vllm:request_success_total"
_WAITING, _RUNNING = "vllm:num_requests_waiting", "vllm:num_requests_running"
_TOKENS = "vllm:prompt_tokens_total"
_NEWER = "a newer vLLM"

# TensorRT-LLM's server took these edges over
TTFT_EDGES_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
TOKEN_EDGES_S = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0),
)
REQUEST_EDGES_S = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)


def _counted(cached: str) -> Counted:
    """What vLLM counts; input tokens with the first token, so that only the queue is unread."""
    return Counted(
        PODS,
        finished=_FINISHED,
        held=(_WAITING, _RUNNING),
        unread=(_WAITING,),
        tokens=_TOKENS,
        input=Ratio("vllm:request_prompt_tokens_sum", "vllm:request_prompt_tokens_count"),
        output=Ratio("vllm:request_generation_tokens_sum", "vllm:request_generation_tokens_count"),
        decode=Ratio("vllm:request_decode_time_seconds_sum", "vllm:request_generation_tokens_sum"),
        cached=cached,
    )


VLLM = Preset(
    name="vllm",
    program="vLLM",
    sources=(
        "vllm-project/vllm 005a810bc40f vllm/v1/metrics/loggers.py",
        "ai-dynamo/dynamo a7b23c000e38 docs/observability/metrics_examples/vllm.log",
        "ai-dynamo/dynamo 4032c5611e62 docs/observability/metrics-comparison.md (vLLM v0.19.0)",
    ),
    place="replica",
    counts="finished",
    marks=("vllm:num_requests_running",),
    demands=("request_rate_rps", "input_tokens_per_s", "output_tokens_per_s"),
    indicators=(
        Indicator("request_rate_rps", 1, "requests/s", PODS.sum_rate(_FINISHED)),
        Indicator("input_tokens_per_s", 1, "tokens/s", PODS.sum_rate(_TOKENS)),
        Indicator(
            "output_tokens_per_s", 1, "tokens/s", PODS.sum_rate("vllm:generation_tokens_total")
        ),
        Indicator("latency_p95_ms", 1, "ms", PODS.p95_ms(_E2E)),
        Indicator("ttft_p95_ms", 1, "ms", PODS.p95_ms(_TTFT)),
        Indicator("itl_p95_ms", 1, "ms", PODS.p95_ms(*_ITL)),
        Indicator("tpot_p95_ms", 1, "ms", PODS.p95_ms(_TPOT), needs=_NEWER),
        Indicator("queue_p95_ms", 2, "ms", PODS.p95_ms(_QUEUE)),
        Indicator("queue_requests", 2, "requests", PODS.sum_mean(_WAITING)),
        Indicator("concurrency_requests", 2, "requests", PODS.sum_mean(_RUNNING)),
        Indicator(
            "kv_cache_ratio",
            2,
            "ratio",
            PODS.mean("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        ),
        *engine_loads(
            _counted("vllm:prefix_cache_hits_total"), _counted("vllm:gpu_prefix_cache_hits_total")
        ),
    ),
    goals=(
        GoalHistogram("ttft", (_TTFT,), TTFT_EDGES_S),
        GoalHistogram("itl", _ITL, TOKEN_EDGES_S),
        GoalHistogram("tpot", (_TPOT,), TOKEN_EDGES_S, needs=_NEWER),
        GoalHistogram("e2e", (_E2E,), REQUEST_EDGES_S),
        GoalHistogram("queue", (_QUEUE,), REQUEST_EDGES_S),
    ),
    losses=(
        LossCounter("error", (_FINISHED,), 'finished_reason="error"'),
        LossCounter("abort", (_FINISHED,), 'finished_reason="abort"'),
    ),
)
