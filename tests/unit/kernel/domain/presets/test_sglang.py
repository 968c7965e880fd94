"""The preset of SGLang on pages of a present and of an older server."""

from __future__ import annotations

from services.kernel.domain.presets import PRESETS, metrics_in
from tests.unit.kernel.domain.presets.scraped import (
    are_all_on,
    edges,
    fit,
    has_the_edges_it_says,
    there,
)


def test_every_metric_is_on_a_page_of_the_program() -> None:
    are_all_on("sglang", "sglang", "sglang-older")


def test_a_present_server_has_everything() -> None:
    found = fit("sglang", "sglang")
    assert there(found) == {indicator.name for indicator in found.indicators}
    assert {finding.presence for finding in (*found.goals, *found.losses)} == {"there"}
    has_the_edges_it_says("sglang", "sglang")


def test_an_older_server_has_other_edges_and_counts_no_requests() -> None:
    found = fit("sglang", "sglang-older")
    absent = {finding.name: finding for finding in found.indicators}
    offered = set(PRESETS["sglang"].loads) - set(PRESETS["sglang"].demands)
    assert there(found) == set(absent) - {"request_rate_rps", "queue_p95_ms"} - offered
    rate = absent["request_rate_rps"]
    assert rate.meaning == "not measured, so it cannot be the demand; needs --enable-metrics"
    assert 0.25 in edges(found, "ttft")
    assert 0.25 not in edges(fit("sglang", "sglang"), "ttft")


def test_a_server_without_a_cached_prefix_yet_has_its_uncached_load() -> None:
    uncached = next(i for i in PRESETS["sglang"].indicators if "uncached" in i.name)
    assert uncached.optional == ("sglang:cached_tokens_total",)
    assert set(uncached.optional) <= set(metrics_in(uncached.expression))
    found = {finding.name: finding for finding in fit("sglang", "sglang").indicators}
    assert not set(uncached.optional) & set(found[uncached.name].metrics)
