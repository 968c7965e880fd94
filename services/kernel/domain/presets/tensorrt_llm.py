"""Preset of TensorRT-LLM as `trtllm-serve` serves it."""

from __future__ import annotations

from services.kernel.domain.presets.offered import Counted, Ratio, engine_loads
from services.kernel.domain.presets.promql import PODS
from services.kernel.domain.presets.shape import (
    GoalHistogram,
    LossCounter,
    Preset,
    PresetIndicator as Indicator,
)
from services.kernel.domain.presets.vllm import REQUEST_EDGES_S, TOKEN_EDGES_S, TTFT_EDGES_S

_TTFT = "trtllm_time_to_first_token_seconds"
_TPOT = "trtllm_time_per_output_token_seconds"
_E2E = "trtllm_e2e_request_latency_seconds"
_QUEUE = "trtllm_request_queue_time_seconds"
_FINISHED = "trtllm_request_success_total"
_READ, _ANSWERED = "trtllm_prompt_tokens_total", "trtllm_generation_tokens_total"
_QUEUED = ("trtllm_num_requests_waiting", "trtllm_server_queue_length")
_ACTIVE = ("trtllm_num_requests_running", "trtllm_num_active_requests")
_PER_REQUEST = "return_perf_metrics: true"
_PER_ITERATION = "enable_iter_perf_stats: true"
_TOKENS = f"{_PER_REQUEST}, and a version that counts tokens"
_NOTE = "a version of 2026 can be given other edges"


def _counted(waiting: str, running: str) -> Counted:
    """What the server counts; tokens of inputs and answers when the request is done."""
    held = (waiting, running)
    return Counted(
        PODS,
        finished=_FINISHED,
        held=held,
        unread=held,
        tokens=_READ,
        input=Ratio(_READ, _FINISHED),
        output=Ratio(_ANSWERED, _FINISHED),
        decode=Ratio("trtllm_request_decode_time_seconds_sum", _ANSWERED),
        cached="trtllm_prompt_cached_tokens_total",
        is_cached_sparse=True,
    )


TENSORRT_LLM = Preset(
    name="tensorrt-llm",
    program="TensorRT-LLM (trtllm-serve)",
    sources=(
        "NVIDIA/TensorRT-LLM 050f80def8df tensorrt_llm/metrics/collector.py",
        "ai-dynamo/dynamo ce30a7645318 docs/observability/metrics_examples/trtllm.log",
    ),
    place="replica",
    counts="finished",
    marks=(_FINISHED,),
    demands=("request_rate_rps", "input_tokens_per_s", "output_tokens_per_s"),
    indicators=(
        Indicator(
            "request_rate_rps",
            1,
            "requests/s",
            PODS.sum_rate(_FINISHED),
            _PER_REQUEST,
        ),
        Indicator(
            "input_tokens_per_s",
            1,
            "tokens/s",
            PODS.sum_rate(_READ),
            _TOKENS,
        ),
        Indicator(
            "output_tokens_per_s",
            1,
            "tokens/s",
            PODS.sum_rate(_ANSWERED),
            _TOKENS,
        ),
        Indicator("latency_p95_ms", 1, "ms", PODS.p95_ms(_E2E), _PER_REQUEST),
        Indicator("ttft_p95_ms", 1, "ms", PODS.p95_ms(_TTFT), _PER_REQUEST),
        Indicator("tpot_p95_ms", 1, "ms", PODS.p95_ms(_TPOT), _PER_REQUEST),
        Indicator("queue_p95_ms", 2, "ms", PODS.p95_ms(_QUEUE), _PER_REQUEST),
        Indicator(
            "queue_requests",
            2,
            "requests",
            PODS.sum_mean(*_QUEUED),
            _PER_ITERATION,
        ),
        Indicator(
            "concurrency_requests",
            2,
            "requests",
            PODS.sum_mean(*_ACTIVE),
            _PER_ITERATION,
        ),
        Indicator(
            "kv_cache_ratio", 2, "ratio", PODS.mean("trtllm_kv_cache_utilization"), _PER_ITERATION
        ),
        *engine_loads(
            *(_counted(*names) for names in zip(_QUEUED, _ACTIVE, strict=True)),
            needs=f"{_PER_ITERATION}, and {_TOKENS}",
        ),
    ),
    goals=(
        GoalHistogram("ttft", (_TTFT,), TTFT_EDGES_S, needs=_PER_REQUEST, note=_NOTE),
        GoalHistogram("tpot", (_TPOT,), TOKEN_EDGES_S, needs=_PER_REQUEST, note=_NOTE),
        GoalHistogram("e2e", (_E2E,), REQUEST_EDGES_S, needs=_PER_REQUEST, note=_NOTE),
        GoalHistogram("queue", (_QUEUE,), REQUEST_EDGES_S, needs=_PER_REQUEST, note=_NOTE),
    ),
    losses=(
        LossCounter("error", ("trtllm_request_error_total",), needs="a version that counts errors"),
    ),
)
