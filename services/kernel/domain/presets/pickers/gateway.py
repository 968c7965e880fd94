"""Preset of the endpoint picker of the Gateway API inference extension, by both its prefixes."""

from __future__ import annotations

from services.kernel.domain.presets.pickers.picker import (
    REQUEST_EDGES_S,
    SLO,
    TOKEN_EDGES_S,
    PickerNames,
    picker_goals,
    picker_indicators,
    picker_losses,
)
from services.kernel.domain.presets.shape import Preset

_REPOSITORY = "kubernetes-sigs/gateway-api-inference-extension"


def _names(prefix: str, flow: str = "") -> PickerNames:
    """What the picker calls its metrics, by its prefix for requests."""
    return PickerNames(
        requests=f"{prefix}_request_total",
        errors=f"{prefix}_request_error_total",
        duration=f"{prefix}_request_duration_seconds",
        ttft=f"{prefix}_request_ttft_seconds",
        tpot=f"{prefix}_request_tpot_seconds",
        inputs=f"{prefix}_input_tokens",
        outputs=f"{prefix}_output_tokens",
        running=f"{prefix}_running_requests",
        pool="inference_pool",
        pool_size="inference_pool_ready_pods",
        flow=flow,
    )


OBJECTIVE_NAMES = _names("inference_objective", "inference_extension_flow_control")
"""The present names."""
_MODEL_NAMES = _names("inference_model")
"""Those from before InferenceModel became InferenceObjective."""

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
    marks=(OBJECTIVE_NAMES.requests, _MODEL_NAMES.requests),
    demands=("request_rate_rps", "input_tokens_per_s", "output_tokens_per_s"),
    indicators=picker_indicators(OBJECTIVE_NAMES, _MODEL_NAMES, needs=SLO),
    goals=picker_goals(
        OBJECTIVE_NAMES,
        _MODEL_NAMES,
        ttft_edges_s=REQUEST_EDGES_S,
        tpot_edges_s=TOKEN_EDGES_S,
        needs=SLO,
    ),
    losses=picker_losses(OBJECTIVE_NAMES, _MODEL_NAMES),
)
