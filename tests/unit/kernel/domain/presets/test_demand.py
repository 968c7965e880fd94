"""Demand as it arrives, or as it was served."""

from __future__ import annotations

import pytest

from services.kernel.domain.presets import PRESETS, demand_counts, metrics_in, preset_indicators


@pytest.mark.parametrize(
    ("preset", "indicator", "counts"),
    [
        ("vllm", "request_rate_rps", "served"),
        ("sglang", "input_tokens_per_s", "served"),
        ("dcgm", "gpu_duty_ratio", "served"),
        ("tgi", "request_rate_rps", "arrives"),
        ("gateway", "request_rate_rps", "arrives"),
        ("llm-d", "request_rate_rps", "arrives"),
        ("tgi", "output_tokens_per_s", "served"),
        ("dynamo", "output_tokens_per_s", "served"),
        ("dynamo", "input_tokens_per_s", "served"),
        ("gateway", "input_tokens_per_s", "served"),
        ("tgi", "input_tokens_per_s", "arrives"),
        ("vllm", "offered_request_rate_rps", "arrives"),
        ("vllm", "offered_kv_tokens", "arrives"),
        ("sglang", "offered_uncached_tokens_per_s", "arrives"),
        ("dynamo", "offered_output_tokens_per_s", "arrives"),
        ("llm-d", "input_tokens_per_s", "served"),
        ("llm-d", "offered_request_rate_rps", "arrives"),
        ("tgi", "offered_output_tokens_per_s", "arrives"),
        ("tensorrt-llm", "offered_kv_tokens", "arrives"),
    ],
)
def test_what_a_preset_s_demand_counts(preset: str, indicator: str, counts: str) -> None:
    found = {one.name: one.query for one in preset_indicators((preset,), "shop", ("chat",))}
    assert demand_counts(found[indicator]) == counts


@pytest.mark.parametrize(
    ("query", "counts"),
    [
        ("", "arrives"),
        ("sum(rate(gateway_requests_total[$step]))", "arrives"),
        ("sum(rate(vllm:request_success_total[$step]))", "served"),
        ('sum(rate(vllm:generation_tokens_total{a="b"}[$step])) or vector(1)', "served"),
        ("sum(rate(my_vllm:request_success_total[$step]))", "arrives"),
        ("sum(rate(tgi_request_count[$step]))", "arrives"),
    ],
)
def test_what_one_s_own_demand_counts(query: str, counts: str) -> None:
    assert demand_counts(query) == counts


def test_no_metric_counts_both() -> None:
    arrivals = [p for p in PRESETS.values() if p.counts == "arrivals"]
    for preset in arrivals:
        rate = next(i for i in preset.indicators if i.name == "request_rate_rps")
        for metric in metrics_in(rate.expression):
            assert demand_counts(f"sum(rate({metric}[$step]))") == "arrives"


def test_an_offered_load_that_was_changed_is_judged_by_what_it_reads() -> None:
    found = {one.name: one.query for one in preset_indicators(("vllm",), "shop", ("a", "b.c"))}
    offered = found["offered_output_tokens_per_s"]
    assert demand_counts(offered) == "arrives"
    assert demand_counts(offered.replace("30m", "1h")) == "served"
    assert PRESETS["vllm"].loads == {
        **dict.fromkeys(PRESETS["vllm"].demands, "served"),
        "offered_request_rate_rps": "arrives",
        "offered_input_tokens_per_s": "arrives",
        "offered_uncached_tokens_per_s": "arrives",
        "offered_output_tokens_per_s": "arrives",
        "offered_kv_tokens": "arrives",
    }
