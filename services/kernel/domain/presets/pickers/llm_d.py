"""Preset of llm-d's endpoint picker, which stands before its vLLM pods, by both its prefixes."""

from __future__ import annotations

from services.kernel.domain.presets.pickers.gateway import OBJECTIVE_NAMES
from services.kernel.domain.presets.pickers.picker import (
    REQUEST_EDGES_S,
    TOKEN_EDGES_S,
    PickerNames,
    picker_goals,
    picker_indicators,
    picker_losses,
)
from services.kernel.domain.presets.shape import Preset

_EPP = "llm_d_epp"
_NEWER = "a router that has llm_d_epp_*, or its predicted latency"
_WHOLE = "of a request that does not stream it is the whole time"
_LAST_TTFT_S, _LAST_TPOT_S = 120.0, 2.0
_ITL_EDGES_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0),
)

_NAMES = PickerNames(
    requests=f"{_EPP}_request_total",
    errors=f"{_EPP}_request_error_total",
    duration=f"{_EPP}_request_duration_seconds",
    ttft=f"{_EPP}_request_ttft_seconds",
    tpot=f"{_EPP}_request_streaming_tpot_seconds",
    itl=f"{_EPP}_request_streaming_itl_seconds",
    inputs=f"{_EPP}_request_input_tokens",
    outputs=f"{_EPP}_request_output_tokens",
    cached=f"{_EPP}_request_cached_tokens",
    running=f"{_EPP}_request_running",
    pool=_EPP,
    pool_size=f"{_EPP}_ready_endpoints",
    flow=f"{_EPP}_flow_control",
)

LLM_D = Preset(
    name="llm-d",
    program="llm-d router (endpoint picker, inference scheduler)",
    sources=(
        "llm-d/llm-d-router 02d6c2ee2355 docs/metrics.md (names, labels, outcomes)",
        "red-hat-data-services/llm-d-router 1f2d25d7e30a pkg/epp/metrics/llm_d_router_metrics.go"
        " (llm_d_epp_*)",
        "yankay/gateway-api-inference-extension c573f00e3ea9 profiles/http-metrics-conc60.txt"
        " (a whole page, inference_objective_*)",
    ),
    place="router",
    counts="arrivals",
    marks=(
        _NAMES.requests,
        _NAMES.pool_size,
        "llm_d_inference_scheduler_disagg_decision_total",
        "llm_d_inference_scheduler_pd_decision_total",
    ),
    demands=("request_rate_rps", "input_tokens_per_s", "output_tokens_per_s"),
    indicators=picker_indicators(_NAMES, OBJECTIVE_NAMES, needs=_NEWER),
    goals=picker_goals(
        _NAMES,
        OBJECTIVE_NAMES,
        ttft_edges_s=tuple(edge for edge in REQUEST_EDGES_S if edge <= _LAST_TTFT_S),
        tpot_edges_s=tuple(e for e in TOKEN_EDGES_S if e <= _LAST_TPOT_S and e != 1.5),
        itl_edges_s=_ITL_EDGES_S,
        needs=_NEWER,
        note=_WHOLE,
    ),
    losses=picker_losses(_NAMES, OBJECTIVE_NAMES),
)
