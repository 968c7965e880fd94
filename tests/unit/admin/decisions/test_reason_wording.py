"""Reasons say no other than the figures beside them."""

from __future__ import annotations

from typing import Any

import pytest

from decider.result import Reason
from services.admin.decisions import reason_wording
from services.admin.decisions.reason_wording import (
    reason_sentence,
    risk_sentence,
    short_reason,
)
from services.admin.decisions.translate import to_expected_misses
from services.admin.rest.formats import percent
from tests.unit.cli.kubectl.views import decision

KEPT = "the promise is expected to be kept"
MISSED = "more is expected out of SLA than promised"


def sentence(reason: str, after: float | None, before: float = 0.02, **counts: int) -> str:
    record = {"risk": {"target": 0.01, "before": before, "after": after}}
    values: dict[str, Any] = {"reason": reason, "risk_estimated": after, "explanation": record}
    return reason_sentence(decision(**values, **counts))


def test_every_reason_has_words_and_no_word_is_idle() -> None:
    assert set(reason_wording.REASONS) == {str(reason) for reason in Reason}
    for short, text in reason_wording.REASONS.values():
        assert short
        assert len(short) <= 32
        text.format(current=3, final=4)
    assert short_reason("some_new_reason", None, 0.01) == "Some new reason"


@pytest.mark.parametrize("reason", ["hold_within_risk", "scale_down_risk_allows"])
@pytest.mark.parametrize(
    ("after", "is_over"), [(0.0197, True), (0.004, False), (0.01003, False), (None, False)]
)
def test_a_promise_is_called_kept_only_where_the_estimate_says_so(
    reason: str, after: float | None, is_over: bool
) -> None:
    text, short = sentence(reason, after), short_reason(reason, after, 0.01)
    assert (MISSED in text, KEPT in text) == (is_over, not is_over)
    assert (short == reason_wording.REASONS[reason][0]) is not is_over
    assert len(short) <= 32
    if is_over:
        assert percent(after) != percent(0.01), "the figures do not read alike"
        assert "many decisions together" in text


def test_nothing_is_said_of_what_fewer_would_keep() -> None:
    text = sentence("hold_within_risk", 0.0043, 0.0043, current_replicas=19)
    assert text == (
        "With 19 the promise is expected to be kept. By the present price of risk no other count "
        "within the bounds is better."
    )


@pytest.mark.parametrize(("before", "is_forced"), [(0.083, True), (0.0054, False)])
def test_a_rise_that_the_promise_does_not_force_is_not_laid_to_it(
    before: float, is_forced: bool
) -> None:
    text = sentence("scale_up_risk", 0.0016, before, current_replicas=18, desired_replicas=19)
    assert ("would put more out of SLA than promised" in text) is is_forced
    assert ("price of risk 19 is a better count" in text) is not is_forced


@pytest.mark.parametrize(
    ("kind", "of"),
    [
        ("TimeFraction", " of time"),
        ("DemandFraction", " of demand"),
        ("AnyInWindow", " of steps"),
        (None, ""),
    ],
)
def test_an_estimate_says_what_it_is_a_share_of(kind: str | None, of: str) -> None:
    assert risk_sentence(decision(risk_kind=kind)) == (
        f"Estimated 0.42 %{of} out of SLA with it, promised at most 1 %."
    )


def test_an_estimate_is_of_requests_once_what_they_feel_has_been_learned() -> None:
    misses = to_expected_misses({"expected_misses": {"of": "requests", "by_replicas": {"8": 0.1}}})
    found = risk_sentence(decision(risk_kind="DemandFraction", expected_misses=misses))
    assert "0.42 % of requests out of SLA" in found


def test_nothing_is_estimated_of_what_is_unknown() -> None:
    assert risk_sentence(decision(risk_estimated=None, risk_kind="TimeFraction")) == ""


def test_no_reason_names_time_whatever_is_promised() -> None:
    told = [*reason_wording.REASONS.values(), *reason_wording._OVER.values()]
    assert not [text for _, text in told if "time out of SLA" in text]
