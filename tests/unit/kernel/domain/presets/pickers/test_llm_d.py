"""The preset of llm-d's router on pages with both its prefixes."""

from __future__ import annotations

from tests.unit.kernel.domain.presets.scraped import are_all_on, fit, has_the_edges_it_says, there

NEWER = {
    *("ttft_p95_ms", "tpot_p95_ms", "itl_p95_ms"),
    *("offered_uncached_tokens_per_s", "offered_kv_tokens"),
}


def test_every_metric_is_on_a_page_of_a_picker() -> None:
    are_all_on("llm-d", "llm-d", "llm-d-older", "gateway")


def test_its_own_names_give_all_that_it_measures() -> None:
    found = fit("llm-d", "llm-d")
    assert found.is_fit
    assert there(found) == {finding.name for finding in found.indicators}
    assert found.indicators[0].metrics == ("llm_d_epp_request_total",)
    has_the_edges_it_says("llm-d", "llm-d")
    assert not fit("gateway", "llm-d").is_fit


def test_a_real_page_with_the_deprecated_names_is_read_too() -> None:
    found = fit("llm-d", "llm-d-older", e2e=2.0)
    assert found.is_fit
    assert there(found) == {finding.name for finding in found.indicators} - NEWER
    assert found.indicators[0].metrics == ("inference_objective_request_total",)
    has_the_edges_it_says("llm-d", "llm-d-older", "e2e")
    (place,) = [finding.bracket for finding in found.goals if finding.name == "e2e"]
    assert place is not None
    assert place.is_exact
    # it is what the extension's picker reports
    assert fit("gateway", "llm-d-older").is_fit


def test_what_the_cache_answered_is_only_known_where_replicas_say_so() -> None:
    found = {finding.name: finding for finding in fit("llm-d", "llm-d-older").indicators}
    meaning = found["offered_uncached_tokens_per_s"].meaning
    assert meaning.startswith("not measured, so it cannot be a load; needs replicas that say")
