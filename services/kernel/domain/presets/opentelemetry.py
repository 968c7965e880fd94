"""Preset of OpenTelemetry's `gen_ai.server.*` metrics, as Prometheus names them."""

from __future__ import annotations

from services.kernel.domain.presets.promql import Promql
from services.kernel.domain.presets.shape import (
    GoalHistogram,
    LossCounter,
    Preset,
    PresetIndicator as Indicator,
)

_RESOURCE = Promql('k8s_namespace_name="$namespace",k8s_pod_name=~"$pod"')
_NOTE = "edges that the convention recommends; an exporter may use others"


def _names(metric: str, suffix: str = "") -> tuple[str, ...]:
    """With the unit that exporters add, and without it."""
    return f"gen_ai_server_{metric}_seconds{suffix}", f"gen_ai_server_{metric}{suffix}"


OPENTELEMETRY = Preset(
    name="opentelemetry",
    program="OpenTelemetry gen_ai.server.*",
    sources=("open-telemetry/semantic-conventions 01d94504d2ec docs/gen-ai/gen-ai-metrics.md",),
    place="replica",
    counts="finished",
    marks=_names("request_duration", "_count"),
    demands=("request_rate_rps",),
    indicators=(
        Indicator(
            "request_rate_rps",
            1,
            "requests/s",
            _RESOURCE.sum_rate(*_names("request_duration", "_count")),
        ),
        Indicator("latency_p95_ms", 1, "ms", _RESOURCE.p95_ms(*_names("request_duration"))),
        Indicator("ttft_p95_ms", 1, "ms", _RESOURCE.p95_ms(*_names("time_to_first_token"))),
        Indicator("tpot_p95_ms", 1, "ms", _RESOURCE.p95_ms(*_names("time_per_output_token"))),
        # time spent by all requests per second of time: how many were there at once
        Indicator(
            "concurrency_requests",
            2,
            "requests",
            _RESOURCE.sum_rate(*_names("request_duration", "_sum")),
        ),
    ),
    goals=(
        GoalHistogram(
            "ttft",
            _names("time_to_first_token"),
            (
                *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5),
                *(5.0, 7.5, 10.0),
            ),
            note=_NOTE,
        ),
        GoalHistogram(
            "tpot",
            _names("time_per_output_token"),
            (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
            note=_NOTE,
        ),
        GoalHistogram(
            "e2e",
            _names("request_duration"),
            (
                *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48),
                *(40.96, 81.92),
            ),
            note=_NOTE,
        ),
    ),
    losses=(LossCounter("error", _names("request_duration", "_count"), 'error_type!=""'),),
    promql=_RESOURCE,
)
