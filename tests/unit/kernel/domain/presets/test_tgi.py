"""The preset of Text Generation Inference on a page of the program."""

from __future__ import annotations

from services.kernel.domain.presets import PRESETS
from tests.unit.kernel.domain.presets.scraped import are_all_on, edges, fit, has_the_edges_it_says


def test_every_metric_is_on_a_page_of_the_program() -> None:
    are_all_on("tgi", "tgi")
    has_the_edges_it_says("tgi", "tgi")


def test_there_is_no_first_token_and_no_round_edge() -> None:
    assert {goal.goal for goal in PRESETS["tgi"].goals} == {"tpot", "e2e", "queue"}
    assert not [edge for edge in edges(fit("tgi", "tgi"), "e2e") if edge == round(edge, 1)]


def test_failures_are_told_apart() -> None:
    labels = {loss.kind: loss.labels for loss in PRESETS["tgi"].losses}
    assert labels["refusal"] == 'err="overloaded"'
    assert "overloaded" in labels["error"]
    assert "validation" in labels["error"]
