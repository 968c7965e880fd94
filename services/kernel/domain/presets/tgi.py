"""Preset of Hugging Face's Text Generation Inference."""

from __future__ import annotations

from itertools import accumulate, repeat
from operator import mul

from services.kernel.domain.presets.offered import Counted, Ratio, arrival_loads
from services.kernel.domain.presets.promql import PODS
from services.kernel.domain.presets.shape import (
    GoalHistogram,
    LossCounter,
    Preset,
    PresetIndicator as Indicator,
)

_PER_TOKEN = "tgi_request_mean_time_per_token_duration"  # noqa: S105 - no password
_N_EDGES, _FIRST_S, _FACTOR = 35, 0.0001, 1.5
# one after the other, as the program computes them: labels show their last digits
_EDGES_S = tuple(accumulate(repeat(_FACTOR, _N_EDGES), mul, initial=_FIRST_S))[1:]
_FAILED = "tgi_request_failure"
_FAILURES = (_FAILED,)
_OVERLOADED = 'err="overloaded"'
_INPUT, _OUTPUT = "tgi_request_input_length", "tgi_request_generated_tokens"
_SERVER = 'err!~"overloaded|dropped|validation"'

# the length of an input is observed when it was let in and found valid: neither calls of
# /chat_tokenize nor mistakes of clients are arrivals here
_COUNTED = Counted(
    PODS,
    arrivals=f"{_INPUT}_count",
    refused=_FAILED,
    refused_labels=_OVERLOADED,
    finished="",
    held=(),
    unread=(),
    tokens=f"{_INPUT}_sum",
    input=Ratio(f"{_INPUT}_sum", f"{_INPUT}_count"),
    output=Ratio(f"{_OUTPUT}_sum", f"{_OUTPUT}_count"),
    decode=Ratio("tgi_request_inference_duration_sum", f"{_OUTPUT}_sum"),
)

TGI = Preset(
    name="tgi",
    program="Text Generation Inference",
    sources=(
        "huggingface/text-generation-inference 53fdbe617d4f docs/source/reference/metrics.md",
        "huggingface/text-generation-inference d957e32601a9 router/src/server.rs (edges, counters)",
    ),
    place="replica",
    counts="arrivals",
    marks=("tgi_request_count", "tgi_queue_size"),
    demands=("request_rate_rps", "input_tokens_per_s", "output_tokens_per_s"),
    indicators=(
        Indicator("request_rate_rps", 1, "requests/s", PODS.sum_rate("tgi_request_count")),
        Indicator("input_tokens_per_s", 1, "tokens/s", PODS.sum_rate(f"{_INPUT}_sum")),
        Indicator("output_tokens_per_s", 1, "tokens/s", PODS.sum_rate(f"{_OUTPUT}_sum")),
        Indicator("latency_p95_ms", 1, "ms", PODS.p95_ms("tgi_request_duration")),
        Indicator("tpot_p95_ms", 1, "ms", PODS.p95_ms(_PER_TOKEN)),
        Indicator("queue_p95_ms", 2, "ms", PODS.p95_ms("tgi_request_queue_duration")),
        Indicator("queue_requests", 2, "requests", PODS.sum_mean("tgi_queue_size")),
        Indicator("concurrency_requests", 2, "requests", PODS.sum_mean("tgi_batch_current_size")),
        *arrival_loads(_COUNTED),
    ),
    goals=(
        GoalHistogram("tpot", (_PER_TOKEN,), _EDGES_S, note="includes the time of the prefill"),
        GoalHistogram("e2e", ("tgi_request_duration",), _EDGES_S),
        GoalHistogram("queue", ("tgi_request_queue_duration",), _EDGES_S),
    ),
    losses=(
        LossCounter("error", _FAILURES, _SERVER, "the first request that fails"),
        LossCounter("refusal", _FAILURES, _OVERLOADED, "the first request that fails"),
        LossCounter("abort", _FAILURES, 'err="dropped"', "the first request that fails"),
    ),
)
