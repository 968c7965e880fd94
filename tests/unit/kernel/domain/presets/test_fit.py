"""A threshold among bucket edges, and what a page offers of a preset."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from services.kernel.domain.presets import (
    PRESETS,
    Bracket,
    Preset,
    PresetIndicator,
    bracket,
    fit_preset,
    read_page,
)
from tests.unit.kernel.domain.presets.scraped import PAGES, fit, page

EDGES = (0.1, 0.25, 0.5)


@pytest.mark.parametrize(
    ("threshold", "below", "above", "is_exact"),
    [(0.25, 0.25, 0.25, True), (0.3, 0.25, 0.5, False), (0.05, 0.0, 0.1, False),
     (2.0, 0.5, None, False), (0.1 + 1e-13, 0.1, 0.1, True)],
)  # fmt: skip
def test_the_edges_next_to_a_threshold(
    threshold: float, below: float, above: float | None, is_exact: bool
) -> None:
    found = bracket(EDGES, threshold)
    assert found == Bracket(threshold, below, above)
    assert found.is_exact == is_exact


@given(
    st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=40, unique=True).map(sorted),
    st.floats(1e-4, 1e4),
)
def test_no_edge_lies_between_them(edges: list[float], threshold: float) -> None:
    found = bracket(edges, threshold)
    above = float("inf") if found.above_s is None else found.above_s
    assert found.below_s <= threshold * (1 + 1e-9)
    assert above >= threshold * (1 - 1e-9)
    assert [edge for edge in edges if found.below_s < edge < above] == []


def test_a_threshold_is_looked_up_for_its_goal_alone() -> None:
    found = fit("vllm", "vllm", ttft=0.5)
    brackets = {finding.name: finding.bracket for finding in found.goals}
    assert brackets.pop("ttft") == Bracket(0.5, 0.5, 0.5)
    assert set(brackets.values()) == {None}


def test_a_type_without_a_series_is_announced() -> None:
    kinds = {"vllm:prompt_tokens_total": "counter", "vllm:e2e_request_latency_seconds": "histogram"}
    text = "".join(f"# TYPE {name} {kind}\n" for name, kind in kinds.items())
    found = fit_preset(PRESETS["vllm"], read_page(text), {"e2e": 1.0})
    silent = {f.name: f for f in (*found.indicators, *found.goals) if f.presence == "silent"}
    assert set(silent) == {"input_tokens_per_s", "latency_p95_ms", "e2e"}
    assert all("begins with the first request" in f.meaning for f in silent.values())
    assert silent["e2e"].bracket is None


def test_an_expression_of_two_metrics_needs_both() -> None:
    pair = PresetIndicator("pair_ratio", 2, "ratio", ("a{x}[$step] / b{x}[$step]",))
    preset = Preset("p", "P", (), "replica", "nothing", ("a",), (), (pair,))
    (found,) = fit_preset(preset, read_page("a 1\n"), {}).indicators
    assert (found.presence, found.missing) == ("missing", ("b",))
    (found,) = fit_preset(preset, read_page("a 1\nb 1\n"), {}).indicators
    assert (found.presence, found.missing, found.meaning) == ("there", (), "")


def test_without_anything_that_can_be_the_demand_a_page_does_not_fit() -> None:
    page_of_gauges = read_page("vllm:num_requests_running 1\n")
    found = fit_preset(PRESETS["vllm"], page_of_gauges, {})
    assert (found.is_known, found.is_fit, found.n_found) == (True, False, 1)
    assert fit_preset(PRESETS["dcgm"], read_page("DCGM_FI_DEV_GPU_UTIL 1\n"), {}).is_fit


def test_a_page_fits_the_preset_of_its_program_and_no_stranger_s() -> None:
    related = {
        "triton": {"triton"},
        "tensorrt-llm-triton": {"triton", "tensorrt-llm-triton"},
        "llm-d-older": {"gateway", "llm-d"},
    }
    for path in sorted(PAGES.glob("*.txt")):
        stem = path.stem
        own = max((name for name in PRESETS if stem.startswith(name)), key=len)
        fitting = {name for name in PRESETS if fit_preset(PRESETS[name], page(stem), {}).is_fit}
        assert fitting == related.get(stem, {own}), stem
