"""Preset of the frontend of NVIDIA Dynamo, which stands before the workers."""

from __future__ import annotations

from services.kernel.domain.presets.offered import Counted, Ratio, arrival_loads
from services.kernel.domain.presets.promql import PODS
from services.kernel.domain.presets.shape import (
    GoalHistogram,
    LossCounter,
    Preset,
    PresetIndicator as Indicator,
)

_TTFT = "dynamo_frontend_time_to_first_token_seconds"
_ITL = "dynamo_frontend_inter_token_latency_seconds"
_E2E = "dynamo_frontend_request_duration_seconds"
_DONE = "dynamo_frontend_requests_total"
_STARTED = "dynamo_frontend_requests_started_total"
_HELD = ("dynamo_frontend_inflight_requests",)
_INPUT, _OUTPUT = "dynamo_frontend_input_sequence_tokens", "dynamo_frontend_output_sequence_tokens"
_NOTE = "edges are set by DYN_METRICS_{}_MIN, _MAX and _COUNT"
_FIRST = "the first such request"

_TTFT_EDGES_S = (
    *(0.0, 0.0022, 0.0047, 0.01, 0.022, 0.047, 0.1, 0.22, 0.47, 1.0, 2.2, 4.7, 10.0, 22.0, 48.0),
    *(100.0, 220.0, 480.0),
)
_ITL_EDGES_S = (
    *(0.0, 0.0019, 0.0035, 0.0067, 0.013, 0.024, 0.045, 0.084, 0.16, 0.3, 0.56, 1.1, 2.0),
)
_E2E_EDGES_S = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 130.0, 260.0, 510.0)


def _counted(arrivals: str) -> Counted:
    """What the frontend counts; the length of an input with the first token of its answer."""
    return Counted(
        PODS,
        arrivals=arrivals,
        finished=_DONE,
        held=_HELD,
        unread=_HELD,
        tokens=f"{_INPUT}_sum",
        input=Ratio(f"{_INPUT}_sum", f"{_INPUT}_count"),
        output=Ratio(f"{_OUTPUT}_sum", f"{_OUTPUT}_count"),
        decode=Ratio(f"{_ITL}_sum", f"{_ITL}_count"),
    )


DYNAMO = Preset(
    name="dynamo",
    program="Dynamo frontend",
    sources=(
        "ai-dynamo/dynamo 0014908a25ae lib/llm/src/http/service/metrics.rs",
        "ai-dynamo/dynamo ce30a7645318 docs/observability/metrics_examples/fe.log",
    ),
    place="router",
    counts="arrivals",
    marks=("dynamo_frontend_inflight_requests", _DONE),
    demands=("request_rate_rps", "input_tokens_per_s", "output_tokens_per_s"),
    indicators=(
        # older frontends count requests when they are done
        Indicator(
            "request_rate_rps",
            1,
            "requests/s",
            PODS.sum_rate(_STARTED, _DONE),
        ),
        Indicator(
            "input_tokens_per_s",
            1,
            "tokens/s",
            PODS.sum_rate(f"{_INPUT}_sum"),
            counts="served",
        ),
        Indicator(
            "output_tokens_per_s",
            1,
            "tokens/s",
            PODS.sum_rate("dynamo_frontend_output_tokens_total", f"{_OUTPUT}_sum"),
        ),
        Indicator("latency_p95_ms", 1, "ms", PODS.p95_ms(_E2E)),
        Indicator("ttft_p95_ms", 1, "ms", PODS.p95_ms(_TTFT)),
        Indicator("itl_p95_ms", 1, "ms", PODS.p95_ms(_ITL)),
        Indicator(
            "queue_requests", 2, "requests", PODS.sum_mean("dynamo_frontend_queued_requests")
        ),
        Indicator(
            "concurrency_requests",
            2,
            "requests",
            PODS.sum_mean("dynamo_frontend_active_requests", *_HELD),
        ),
        *arrival_loads(_counted(_STARTED), _counted("")),
    ),
    goals=(
        GoalHistogram("ttft", (_TTFT,), _TTFT_EDGES_S, note=_NOTE.format("TTFT")),
        GoalHistogram("itl", (_ITL,), _ITL_EDGES_S, note=_NOTE.format("ITL")),
        GoalHistogram("e2e", (_E2E,), _E2E_EDGES_S, note=_NOTE.format("REQUEST_DURATION")),
    ),
    losses=(
        LossCounter("error", (_DONE,), 'status="error"'),
        LossCounter("refusal", ("dynamo_frontend_model_rejection_total",), needs=_FIRST),
        LossCounter("abort", ("dynamo_frontend_model_cancellation_total",), needs=_FIRST),
    ),
)
