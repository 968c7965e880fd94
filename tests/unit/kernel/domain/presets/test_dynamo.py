"""The preset of Dynamo's frontend on pages of two versions."""

from __future__ import annotations

from services.kernel.domain.presets import PRESETS
from tests.unit.kernel.domain.presets.scraped import are_all_on, fit, has_the_edges_it_says, there


def test_every_metric_is_on_a_page_of_the_program() -> None:
    are_all_on("dynamo", "dynamo", "dynamo-newer")


def test_both_versions_have_every_indicator() -> None:
    for name in ("dynamo", "dynamo-newer"):
        found = fit("dynamo", name)
        assert there(found) == {finding.name for finding in found.indicators}
    has_the_edges_it_says("dynamo", "dynamo", "ttft", "itl")
    has_the_edges_it_says("dynamo", "dynamo-newer")


def test_arrivals_are_counted_where_the_frontend_does() -> None:
    rates = [fit("dynamo", name).indicators[0].metrics for name in ("dynamo-newer", "dynamo")]
    assert rates == [
        ("dynamo_frontend_requests_started_total",),
        ("dynamo_frontend_requests_total",),
    ]
    assert PRESETS["dynamo"].place == "router"
