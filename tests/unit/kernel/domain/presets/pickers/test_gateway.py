"""The preset of the inference extension's picker on pages with both its prefixes."""

from __future__ import annotations

from tests.unit.kernel.domain.presets.scraped import are_all_on, fit, has_the_edges_it_says, there


def test_every_metric_is_on_a_page_of_the_program() -> None:
    are_all_on("gateway", "gateway", "gateway-older")


def test_either_prefix_gives_every_goal_that_it_measures() -> None:
    has_the_edges_it_says("gateway", "gateway")
    has_the_edges_it_says("gateway", "gateway-older", "ttft", "tpot", "e2e")
    found = fit("gateway", "gateway-older")
    assert there(found) == {finding.name for finding in found.indicators} - {"queue_requests"}
    assert found.indicators[0].metrics == ("inference_model_request_total",)
    assert found.goals[-1].meaning == "no promise on the time in the queue; needs flow control"
