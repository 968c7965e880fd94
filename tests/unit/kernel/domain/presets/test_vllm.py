"""The preset of vLLM on pages of a present and of an older server."""

from __future__ import annotations

from tests.unit.kernel.domain.presets.scraped import (
    are_all_on,
    edges,
    fit,
    has_the_edges_it_says,
    there,
)

NEWER = {"tpot_p95_ms"}


def test_every_metric_is_on_a_page_of_the_program() -> None:
    are_all_on("vllm", "vllm", "vllm-older")


def test_a_present_server_has_everything() -> None:
    found = fit("vllm", "vllm")
    assert there(found) == {indicator.name for indicator in found.indicators}
    assert {finding.presence for finding in (*found.goals, *found.losses)} == {"there"}
    has_the_edges_it_says("vllm", "vllm")


def test_an_older_server_has_all_but_what_it_did_not_measure() -> None:
    found = fit("vllm", "vllm-older")
    missing = {finding.name: finding for finding in found.indicators} | {
        finding.name: finding for finding in found.goals
    }
    assert there(found) == {indicator.name for indicator in found.indicators} - NEWER
    assert missing["tpot"].meaning.startswith("no promise on the time per output token")
    assert missing["kv_cache_ratio"].metrics == ("vllm:gpu_cache_usage_perc",)
    uncached = missing["offered_uncached_tokens_per_s"]
    assert "vllm:gpu_prefix_cache_hits_total" in uncached.metrics
    assert missing["itl"].metrics == ("vllm:time_per_output_token_seconds",)
    assert edges(found, "itl") == edges(fit("vllm", "vllm"), "itl")
    has_the_edges_it_says("vllm", "vllm-older", "ttft", "itl", "e2e", "queue")
