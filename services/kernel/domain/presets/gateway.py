"""Preset of the endpoint picker of the Gateway API inference extension, by both its prefixes."""

from __future__ import annotations

from services.kernel.domain.presets.offered import Counted, Ratio, router_loads
from services.kernel.domain.presets.promql import PODS
from services.kernel.domain.presets.shape import (
    GoalHistogram,
    LossCounter,
    Preset,
    PresetIndicator as Indicator,
)

_SLO = "the picker's latency measurement (SLO-aware routing)"
_FLOW = "flow control"
_QUEUE = "inference_extension_flow_control_request_queue_duration_seconds"
_FULL = "InferencePoolResourceExhausted"
_REPOSITORY = "kubernetes-sigs/gateway-api-inference-extension"

_REQUEST_EDGES_S = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0),
    *(10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0, 600.0),
    *(900.0, 1200.0, 1800.0, 2700.0, 3600.0),
)
_TOKEN_EDGES_S = (
    *(0.0005, 0.00205, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.4, 0.5),
    *(0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 4.5, 6.0, 12.0, 18.0, 24.0, 30.0, 36.0, 48.0, 60.0, 90.0),
    *(120.0, 180.0, 270.0, 360.0),
)
_QUEUE_EDGES_S = (
    *(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    *(30.0, 60.0),
)


def _names(suffix: str) -> tuple[str, ...]:
    """A metric's present name and the one before InferenceModel became InferenceObjective."""
    return f"inference_objective_{suffix}", f"inference_model_{suffix}"


_POOL_QUEUE = (
    f"sum(avg_over_time({PODS.of('inference_pool_average_queue_size')})"
    f" * avg_over_time({PODS.of('inference_pool_ready_pods')}))"
)


def _counted(requests: str, inputs: str, outputs: str) -> Counted:
    """What the picker counts: requests as they come, their tokens with the end of the answer."""
    return Counted(
        PODS,
        arrivals=requests,
        finished="",
        held=(),
        unread=(),
        tokens=f"{inputs}_sum",
        input=Ratio(f"{inputs}_sum", f"{inputs}_count"),
        output=Ratio(f"{outputs}_sum", f"{outputs}_count"),
    )


GATEWAY = Preset(
    name="gateway",
    program="Gateway API inference extension",
    sources=(
        f"{_REPOSITORY} 04a97e67f780 pkg/epp/metrics/metrics.go (inference_objective_*)",
        f"{_REPOSITORY} 8c7067f3cb96 pkg/epp/metrics/metrics.go (inference_model_*)",
        f"{_REPOSITORY} 6f06bcbe0931 pkg/epp/metrics/testdata",
    ),
    place="router",
    counts="arrivals",
    marks=_names("request_total"),
    demands=("request_rate_rps", "input_tokens_per_s", "output_tokens_per_s"),
    indicators=(
        Indicator("request_rate_rps", 1, "requests/s", PODS.sum_rate(*_names("request_total"))),
        Indicator(
            "input_tokens_per_s",
            1,
            "tokens/s",
            PODS.sum_rate(*_names("input_tokens_sum")),
            counts="served",
        ),
        Indicator(
            "output_tokens_per_s", 1, "tokens/s", PODS.sum_rate(*_names("output_tokens_sum"))
        ),
        Indicator("latency_p95_ms", 1, "ms", PODS.p95_ms(*_names("request_duration_seconds"))),
        Indicator("ttft_p95_ms", 1, "ms", PODS.p95_ms(*_names("request_ttft_seconds")), _SLO),
        Indicator("tpot_p95_ms", 1, "ms", PODS.p95_ms(*_names("request_tpot_seconds")), _SLO),
        Indicator("queue_requests", 2, "requests", (_POOL_QUEUE,)),
        Indicator(
            "concurrency_requests", 2, "requests", PODS.sum_mean(*_names("running_requests"))
        ),
        Indicator(
            "kv_cache_ratio", 2, "ratio", PODS.mean("inference_pool_average_kv_cache_utilization")
        ),
        *router_loads(
            *(
                _counted(*names)
                for names in zip(
                    _names("request_total"),
                    _names("input_tokens"),
                    _names("output_tokens"),
                    strict=True,
                )
            )
        ),
    ),
    goals=(
        GoalHistogram("ttft", _names("request_ttft_seconds"), _REQUEST_EDGES_S, needs=_SLO),
        GoalHistogram("tpot", _names("request_tpot_seconds"), _TOKEN_EDGES_S, needs=_SLO),
        GoalHistogram("e2e", _names("request_duration_seconds"), _REQUEST_EDGES_S),
        GoalHistogram("queue", (_QUEUE,), _QUEUE_EDGES_S, needs=_FLOW),
    ),
    losses=(
        LossCounter("error", _names("request_error_total"), f'error_code!="{_FULL}"'),
        LossCounter("refusal", _names("request_error_total"), f'error_code="{_FULL}"'),
    ),
)
