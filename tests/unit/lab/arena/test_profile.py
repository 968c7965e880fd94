"""What one replica carries: found on an engine of a few lines, said as a spec takes it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from services.kernel.errors import InvalidInput
from services.lab.arena.engine import EngineChoice
from services.lab.arena.goals import RequestGoals
from services.lab.arena.profile import CapacityProfile, ProfileQuestion, capacity_profile, plain
from services.lab.arena.requests import Shape, lognormal_mix
from tests.unit.lab.arena.fake_engine import FakeEngine

CARRIED = 2000.0
"""Tokens of prompts a second that the engine carries."""


def profile(demand: str = "request_rate_rps", goals: RequestGoals | None = None) -> CapacityProfile:
    engine: Any = FakeEngine(EngineChoice("m", "g"), CARRIED)
    chosen = goals or RequestGoals(9_000, 100)
    question = ProfileQuestion(Shape(200, 50), chosen, 0.05, demand, 7)
    return capacity_profile(engine, question, lognormal_mix())


def test_prompts_bind_here_and_answers_do_not() -> None:
    found = profile()
    base, prompts, answers = (row.limit.rate for row in found.rows)
    assert base * 200 == pytest.approx(CARRIED, rel=0.1)
    assert prompts < 0.75 * base
    assert answers == pytest.approx(base, rel=0.1)
    assert found.binding == ("input_tokens_per_s",)


def test_the_spec_names_what_binds_besides_the_demand() -> None:
    found = profile()
    loads = found.rows[0].loads
    read = yaml.safe_load(found.spec_yaml())
    assert read["demand"] == "request_rate_rps"
    assert float(read["capacity"]["perReplica"]) <= loads["request_rate_rps"]
    (further,) = read["capacity"]["alsoBoundBy"]
    assert further["indicator"] == "input_tokens_per_s"
    assert float(further["perReplica"]) == pytest.approx(loads["input_tokens_per_s"], rel=0.01)
    assert "alsoBoundBy" not in profile("input_tokens_per_s").spec()["capacity"]


def test_the_document_has_limits_and_their_cause() -> None:
    document = profile().to_json()
    assert [row["requests"] for row in document["limits"]] == [
        "as asked",
        "prompts twice as long",
        "answers twice as long",
    ]
    assert document["limits"][0]["missed_ttft_beyond"] == 1.0
    assert document["engine"]["engine_version"] == "1"
    assert document["binding"] == ["input_tokens_per_s"]


def test_a_goal_out_of_reach_is_said_with_its_cause() -> None:
    with pytest.raises(InvalidInput, match=r"at no rate: 100.0% of the requests would miss"):
        profile(goals=RequestGoals(9_000, 10))


@pytest.mark.parametrize(
    ("share", "demand", "said"),
    [
        (0.0, "request_rate_rps", "--share=0 "),
        (1.0, "request_rate_rps", "--share=1 "),
        (0.05, "kv_tokens", "--demand=kv_tokens: must be one of request_rate_rps"),
    ],
)
def test_a_question_without_an_answer_is_refused(share: float, demand: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        ProfileQuestion(Shape(100, 50), RequestGoals(9_000, 100), share, demand, 7)


@pytest.mark.parametrize(
    ("value", "text"), [(0.7548, "0.754"), (754.9, "754"), (12_345.0, "12300"), (3.0, "3.00")]
)
def test_three_digits_rounded_down(value: float, text: str) -> None:
    assert plain(value) == text
