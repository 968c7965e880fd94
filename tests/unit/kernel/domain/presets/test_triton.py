"""The presets of Triton, alone and with TensorRT-LLM, on pages of the program."""

from __future__ import annotations

from services.kernel.domain.presets import PRESETS
from tests.unit.kernel.domain.presets.scraped import (
    are_all_on,
    edges,
    fit,
    has_the_edges_it_says,
    there,
)


def test_every_metric_is_on_a_page_of_the_program() -> None:
    are_all_on("triton", "triton")
    are_all_on("tensorrt-llm-triton", "tensorrt-llm-triton", "triton")


def test_milliseconds_become_seconds() -> None:
    assert edges(fit("triton", "triton"), "ttft") == (0.1, 0.5, 2.0, 5.0)
    has_the_edges_it_says("triton", "triton")


def test_without_the_option_there_is_no_first_response() -> None:
    found = fit("tensorrt-llm-triton", "tensorrt-llm-triton")
    assert found.is_fit
    assert there(found) == {indicator.name for indicator in found.indicators} - {"ttft_p95_ms"}
    (goal,) = found.goals
    assert "histogram_latencies=true" in goal.meaning


def test_a_server_without_the_backend_does_not_fit_the_backends_preset() -> None:
    assert not fit("tensorrt-llm-triton", "triton").is_fit


def test_only_the_engine_of_an_ensemble_is_counted() -> None:
    (rate, *_) = PRESETS["tensorrt-llm-triton"].indicators
    assert 'model="tensorrt_llm"' in rate.expression
