"""Verdict and advice of a study."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.backtest.equal_violation import EqualViolation
from services.backtest.frontier import PolicyFrontier
from services.backtest.predictors import Trained
from services.backtest.recommend import Recommendation, why_none
from services.backtest.study import PromiseResult, Study, arms, run_study
from services.forecasting.registry.shipped import shipped_prior
from services.kernel.errors import InvalidInput
from services.simulator import PolicyScore
from services.simulator.fleet import Fleet


def scored(name: str, cost_usd: float, violation_rate: float) -> PolicyScore:
    empty = np.zeros(0)
    figures = (1.0, cost_usd, violation_rate, 0.01, 0, 0.0, 0.5, "", empty, empty, empty, empty)
    return PolicyScore(name, *figures)


@pytest.mark.parametrize(
    ("own", "rival", "words"),
    [
        ((90.0, 0.008), (100.0, 0.009), "Forecasting paid: 10.0% cheaper than hpa."),
        ((110.0, 0.008), (100.0, 0.009), "Forecasting did not pay here: 10.0% dearer than hpa."),
        (
            (100.0, 0.008),
            (100.0, 0.009),
            "Forecasting did not pay here: it costs the same as hpa.",
        ),
        (
            (99.96, 0.008),
            (100.0, 0.009),
            "Forecasting did not pay here: it costs the same as hpa.",
        ),
        (
            (100.0, 0.02),
            (100.0, 0.009),
            "it costs the same as hpa. Harmony broke its promise of 1.00%: 2.00%.",
        ),
        (
            (90.0, 0.02),
            (100.0, 0.009),
            "No gain at this promise: Harmony broke its promise of 1.00%: 2.00%, 10.0% cheaper "
            "than hpa at 0.90%.",
        ),
        (
            (110.0, 0.02),
            (100.0, 0.009),
            "10.0% dearer than hpa. Harmony broke its promise of 1.00%: 2.00%.",
        ),
        ((90.0, 0.008), (10.0, 0.2), "No rival kept as low a violation rate"),
        # without replicas nothing costs anything, and no share of nothing is claimed
        (
            (90.0, 0.008),
            (0.0, 0.009),
            "Forecasting did not pay here: it costs 90.00 USD and hpa nothing.",
        ),
        ((0.0, 0.008), (0.0, 0.009), "Forecasting did not pay here: it costs the same as hpa."),
        ((0.0, 0.008), (10.0, 0.009), "Forecasting paid: 100.0% cheaper than hpa."),
    ],
)
def test_the_verdict(own: tuple[float, float], rival: tuple[float, float], words: str) -> None:
    result = PromiseResult(0.01, (scored("harmony", *own), scored("hpa", *rival)))
    assert words in result.verdict()


def test_the_verdict_says_what_the_cheaper_rival_left_unserved() -> None:
    """Who serves nothing of rare bursts is out of SLA as seldom as who serves most of them."""
    own = replace(scored("harmony", 110.0, 0.008), unserved_ratio=0.02)
    rival = replace(scored("hpa", 100.0, 0.009), unserved_ratio=0.9989)
    said = PromiseResult(0.01, (own, rival)).verdict()
    assert said.endswith(
        "10.0% dearer than hpa. But hpa leaves 99.89% of the demand unserved, Harmony 2.00%."
    )
    near = replace(rival, unserved_ratio=0.024)
    assert "unserved" not in PromiseResult(0.01, (own, near)).verdict()


def test_a_strict_promise_is_never_told_as_none() -> None:
    own, rival = scored("harmony", 90.0, 0.0000421), scored("hpa", 100.0, 0.00001)
    said = PromiseResult(0.00001, (own, rival)).verdict()
    assert "promise of 0.001%: 0.0042%" in said
    assert said.endswith(("hpa at 0.001%. The frontier tells what its rate costs.", "as Harmony."))


def test_a_study_without_useful_settings_says_so(fleet: Fleet, simple: Trained) -> None:
    rate, cost = np.zeros(2), np.full(2, 15.6)
    same = PolicyFrontier(
        "harmony", ("a", "b"), rate, cost, rate, rate[:, None], cost[:, None], rate
    )
    found = Study(fleet, simple, (), (same,), (), None)
    assert found.advice() == f"No promise is recommended: {why_none(same)}."
    assert found.to_json()["recommended"] is None


def test_beside_a_model_what_it_adds_to_is_run(simple: Trained) -> None:
    """Without a model both would be the same run twice, or one of what nobody would serve."""
    model = shipped_prior()
    before = replace(simple, ladder=replace(simple.ladder, prior=model))
    fitted = replace(simple, ladder=replace(before.ladder, model=model))
    assert arms(simple) == [("harmony", simple)]
    assert arms(before) == [("harmony", before)]
    (own, best), (name, other) = arms(fitted)
    assert (own, best, name) == ("harmony", fitted, "harmony_best_simple")
    assert (other.ladder.model, other.ladder.prior) == (None, None)


def test_what_cannot_be_studied_is_refused_before_anything_runs(fleet: Fleet) -> None:
    told: list[str] = []
    with pytest.raises(InvalidInput, match="'vpa' is unknown"):
        run_study(fleet, [0.01], told.append, policies=["vpa"])
    with pytest.raises(InvalidInput, match="must be a price above 0"):
        run_study(fleet, [0.01], told.append, shortage_usd=0.0)
    assert told == []


def test_the_document_has_the_figures_of_every_promise(fleet: Fleet, simple: Trained) -> None:
    result = PromiseResult(0.01, (scored("harmony", 90.0, 0.008), scored("hpa", 100.0, 0.009)))
    advised = Recommendation(0.02, 50.0, 3.0, "by hand")
    matched = EqualViolation(0.01, "hpa", True, 0.9, 0.85, 0.95)
    document = Study(fleet, simple, (result,), (), (matched,), advised).to_json()
    (run,) = document["runs"]
    assert (run["epsilon"], list(run["policies"])) == (0.01, ["harmony", "hpa"])
    assert run["verdict"] == result.verdict()
    assert run["at_equal_violation"]["cost_ratio"] == 0.9
    assert run["at_equal_violation"]["verdict"] == matched.sentence()
    assert (run["policies"]["hpa"]["cost_usd"], document["recommended"]["epsilon"]) == (100.0, 0.02)
