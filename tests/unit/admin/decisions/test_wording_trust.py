"""A decision that a rung below made because the model is not trusted, in words."""

from __future__ import annotations

import pytest

from services.admin.decisions import wording
from tests.unit.admin.decisions.test_wording import detail


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("scale_up_fallback", "asked for more replicas"),
        ("scale_down_fallback", "content with fewer replicas"),
        ("hold_fallback", "the count stays as it is"),
    ],
)
def test_the_sentence_blames_the_model_not_a_missing_forecast(reason: str, words: str) -> None:
    usual = wording.explain(detail().model_copy(update={"reason": reason}))
    shadowed = wording.explain(detail(model_replicas=9).model_copy(update={"reason": reason}))
    assert usual.sentence.startswith("No usable forecast")
    assert shadowed.sentence.startswith("The forecast's model costs more than it saves here")
    assert shadowed.sentence.endswith(f"{words}.")


def test_a_guard_that_held_keeps_its_own_words() -> None:
    held = detail(model_replicas=9).model_copy(update={"reason": "hold_paused"})
    assert wording.explain(held).sentence == "Scaling is paused."


def test_what_the_model_asked_for_is_a_what_if() -> None:
    why = wording.explain(detail(model_replicas=9, counterfactuals={}))
    assert why.counterfactuals == (("if the forecast's model were trusted", 9, 2),)
    assert wording.explain(detail()).counterfactuals == ()
