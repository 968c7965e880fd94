"""The preset of `trtllm-serve` on pages of two versions."""

from __future__ import annotations

from tests.unit.kernel.domain.presets.scraped import are_all_on, fit, has_the_edges_it_says, there

LATER = {
    *("input_tokens_per_s", "output_tokens_per_s"),
    *("queue_requests", "concurrency_requests", "kv_cache_ratio"),
    *("offered_request_rate_rps", "offered_input_tokens_per_s", "offered_uncached_tokens_per_s"),
    *("offered_output_tokens_per_s", "offered_kv_tokens"),
}


def test_every_metric_is_on_a_page_of_the_program() -> None:
    are_all_on("tensorrt-llm", "tensorrt-llm", "tensorrt-llm-newer")


def test_both_versions_have_the_latencies() -> None:
    for name in ("tensorrt-llm", "tensorrt-llm-newer"):
        assert fit("tensorrt-llm", name).is_fit
        has_the_edges_it_says("tensorrt-llm", name)


def test_what_an_older_version_lacks_is_said() -> None:
    found = fit("tensorrt-llm", "tensorrt-llm")
    assert there(found) == {finding.name for finding in found.indicators} - LATER
    (loss,) = found.losses
    assert loss.meaning.startswith("requests that failed are not counted as misses")
