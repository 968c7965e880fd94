"""Preset of SGLang."""

from __future__ import annotations

from services.kernel.domain.presets.offered import Counted, Ratio, engine_loads
from services.kernel.domain.presets.promql import PODS
from services.kernel.domain.presets.shape import (
    GoalHistogram,
    LossCounter,
    Preset,
    PresetIndicator as Indicator,
)

_TTFT = "sglang:time_to_first_token_seconds"
_ITL = ("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds")
_E2E = "sglang:e2e_request_latency_seconds"
_QUEUE = "sglang:queue_time_seconds"
_FINISHED, _TOKENS = "sglang:num_requests_total", "sglang:prompt_tokens_total"
_WAITING, _RUNNING = "sglang:num_queue_reqs", "sglang:num_running_reqs"
_ANSWERED = "sglang:generation_tokens_total"
_ENABLE = "--enable-metrics"
_NOTE = "own edges by a server argument are possible"

_TTFT_EDGES_S = (
    *(0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0),
    *(100.0, 200.0, 400.0),
)
_ITL_EDGES_S = (
    *(0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08),
    *(0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0),
)
_QUEUE_EDGES_S = (
    *(0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(70.0, 80.0, 90.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0, 1000.0),
    *(1200.0, 1400.0, 1600.0, 1800.0, 2000.0, 2500.0, 3000.0),
)


def _counted(itl: str) -> Counted:
    """What SGLang counts; tokens of inputs and answers when the request is done."""
    return Counted(
        PODS,
        finished=_FINISHED,
        held=(_WAITING, _RUNNING),
        unread=(_WAITING, _RUNNING),
        tokens=_TOKENS,
        input=Ratio(_TOKENS, _FINISHED),
        output=Ratio(_ANSWERED, _FINISHED),
        decode=Ratio(f"{itl}_sum", f"{itl}_count"),
        cached="sglang:cached_tokens_total",
        is_cached_sparse=True,
    )


SGLANG = Preset(
    name="sglang",
    program="SGLang",
    sources=(
        "sgl-project/sglang 00ae9c1590d2 python/sglang/srt/metrics/collector.py",
        "sgl-project/sglang 00b08c497f07 docs/references/production_metrics.md (older names)",
        "ai-dynamo/dynamo a7b23c000e38 docs/observability/metrics_examples/sglang.log",
    ),
    place="replica",
    counts="finished",
    marks=("sglang:num_running_reqs",),
    demands=("request_rate_rps", "input_tokens_per_s", "output_tokens_per_s"),
    indicators=(
        Indicator("request_rate_rps", 1, "requests/s", PODS.sum_rate(_FINISHED), _ENABLE),
        Indicator("input_tokens_per_s", 1, "tokens/s", PODS.sum_rate(_TOKENS), _ENABLE),
        Indicator("output_tokens_per_s", 1, "tokens/s", PODS.sum_rate(_ANSWERED), _ENABLE),
        Indicator("latency_p95_ms", 1, "ms", PODS.p95_ms(_E2E), _ENABLE),
        Indicator("ttft_p95_ms", 1, "ms", PODS.p95_ms(_TTFT), _ENABLE),
        Indicator("itl_p95_ms", 1, "ms", PODS.p95_ms(*_ITL), _ENABLE),
        Indicator("queue_p95_ms", 2, "ms", PODS.p95_ms(_QUEUE), _ENABLE),
        Indicator("queue_requests", 2, "requests", PODS.sum_mean(_WAITING), _ENABLE),
        Indicator("concurrency_requests", 2, "requests", PODS.sum_mean(_RUNNING), _ENABLE),
        Indicator("kv_cache_ratio", 2, "ratio", PODS.mean("sglang:token_usage"), _ENABLE),
        *engine_loads(*(_counted(itl) for itl in _ITL), needs=_ENABLE),
    ),
    goals=(
        GoalHistogram("ttft", (_TTFT,), _TTFT_EDGES_S, needs=_ENABLE, note=_NOTE),
        GoalHistogram("itl", _ITL, _ITL_EDGES_S, needs=_ENABLE, note=_NOTE),
        GoalHistogram(
            "e2e", (_E2E,), (*_TTFT_EDGES_S, 600.0, 1200.0, 1800.0, 2400.0), 1.0, _ENABLE, _NOTE
        ),
        GoalHistogram("queue", (_QUEUE,), _QUEUE_EDGES_S, needs=_ENABLE),
    ),
    losses=(LossCounter("abort", ("sglang:num_aborted_requests_total",), needs=_ENABLE),),
)
