"""The preset of KServe's model server on a page of the program."""

from __future__ import annotations

from tests.unit.kernel.domain.presets.scraped import are_all_on, fit, has_the_edges_it_says, there


def test_everything_comes_from_one_histogram() -> None:
    are_all_on("kserve", "kserve")
    has_the_edges_it_says("kserve", "kserve")
    found = fit("kserve", "kserve", e2e=1.5)
    assert there(found) == {"request_rate_rps", "latency_p95_ms", "concurrency_requests"}
    (goal,) = found.goals
    assert goal.bracket is not None
    assert (goal.bracket.below_s, goal.bracket.above_s) == (1.0, 2.5)
