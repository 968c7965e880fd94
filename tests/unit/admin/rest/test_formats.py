"""How the console writes numbers, times and reasons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from decider.result import Reason
from services.admin.decisions import wording
from services.admin.decisions.schemas import DecisionDetail
from services.admin.decisions.service import decode_cursor, encode_cursor
from services.admin.decisions.translate import budget_remaining, finite, is_paused
from services.admin.rest import formats
from services.kernel.domain import WorkloadSpec
from services.kernel.errors import InvalidInput

AT = datetime(2026, 1, 5, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0 %"),
        (0.0123, "1.2 %"),
        (0.01, "1 %"),
        (0.00004, "< 0.01 %"),
        (0.0042, "0.42 %"),
        (0.5, "50 %"),
        (1.0, "100 %"),
        (-0.091, "-9.1 %"),
    ],
)
def test_percent(value: float | None, text: str) -> None:
    assert formats.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (2.98343, "2.98"),
        (7090.6, "7,091"),
        (23456.0, "23.5 k"),
        (2.5e6, "2.5 M"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert formats.number(value) == text


def test_money_and_durations() -> None:
    assert formats.usd(None) == "–"
    assert formats.usd(5413.2) == "$5,413"
    assert formats.usd(-20.0, True) == "−$20.00"
    assert formats.usd(10.0, True) == "+$10.00"
    assert formats.duration(95) == "95 s"
    assert formats.duration(164) == "2 min 44 s"
    assert formats.duration(2 * 3600) == "2 h"
    assert formats.duration(3 * 86400 + 7200) == "3 d 2 h"
    assert formats.duration(None) == "–"


def test_times() -> None:
    assert formats.clock_time(AT) == "5 Jan 14:05"
    assert formats.iso(AT) == "2026-01-05T14:05:00Z"
    assert formats.ago(AT - timedelta(seconds=150), AT) == "2 min ago"
    assert formats.ago(AT - timedelta(hours=30), AT) == "30 h ago"
    assert formats.ago(AT - timedelta(days=3), AT) == "3 d ago"
    assert formats.ago(AT + timedelta(minutes=10), AT) == "10 min ahead"
    assert formats.ago(AT, AT) == "just now"
    assert formats.ago(None, AT) == "–"


@given(st.floats(0, 1, allow_nan=False))
def test_a_share_is_never_shown_as_none_when_it_is_some(value: float) -> None:
    shown = formats.percent(value)
    assert (shown == "0 %") == (value == 0)


def test_every_reason_has_words_and_no_word_is_idle() -> None:
    assert set(wording.REASONS) == {str(reason) for reason in Reason}
    for short, sentence in wording.REASONS.values():
        assert short
        assert len(short) <= 32
        sentence.format(current=3, final=4)
    assert wording.short_reason("some_new_reason") == "Some new reason"


def detail(**explanation: Any) -> DecisionDetail:
    return DecisionDetail.model_validate(
        {
            "id": 1,
            "namespace": "a",
            "workload": "b",
            "origin_at": AT,
            "decided_at": AT,
            "current_replicas": 5,
            "raw_replicas": 7,
            "desired_replicas": 6,
            "direction": "up",
            "reason": "scale_up_risk",
            "rung": "forecast",
            "risk_target": 0.01,
            "risk_estimated": 0.004,
            "cost_delta_usd_per_h": 2.5,
            "forecast_id": 1,
            "policy_version": "harmony-1",
            "valid_until": AT,
            "model_version": "m",
            "forecast_rung": "model",
            "forecast_reason": "",
            "explanation": explanation,
            "actions": [],
            "outcomes": [],
        }
    )


def test_explanation_in_words() -> None:
    why = wording.explain(
        detail(
            guard_trace=[
                {"guard": "rate_limit", "before": 7, "after": 6, "detail": "at most 6 now"}
            ],
            counterfactuals={"zero_lead_time": 5, "epsilon_0.05": 6, "epsilon_0.001": 9},
            quantiles={"p50": 1234.0, "p99": None},
            risk={"target": 0.01, "before": 0.2, "after": 0.004, "level": None},
            plan=[6, 6, 5],
        )
    )
    assert "Staying at 5" in why.sentence
    assert why.guards[0].is_active
    assert why.guards[0].label == "Rate limit"
    assert why.counterfactuals == (
        ("at a promise of 0.1 %", 9, 2),
        ("at a promise of 5 %", 6, -1),
        ("if replicas started at once", 5, -2),
    )
    assert why.quantiles == (("p50", "1,234"), ("p99", "–"))
    assert [label for label, _ in why.risk] == [
        "Promised",
        "Estimated if kept at 5",
        "Estimated with 6",
    ]
    assert why.plan == (6, 6, 5)


@given(
    st.dictionaries(
        st.sampled_from(
            ["guard_trace", "counterfactuals", "quantiles", "risk", "plan", "gpu_budget"]
        ),
        st.none()
        | st.lists(st.integers() | st.text(max_size=3), max_size=2)
        | st.dictionaries(st.text(max_size=4), st.none() | st.text(max_size=3), max_size=2),
    )
)
def test_a_strange_record_never_breaks_the_page(record: dict[str, Any]) -> None:
    why = wording.explain(detail(**record))
    assert why.sentence


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
"""A NUL is in no name: a URL that holds one is refused (422), and so is such a cursor."""


@given(NAMES, st.integers(-(2**63) + 1, 2**63 - 1), st.datetimes(timezones=st.just(UTC)))
def test_cursors_come_back(name: str, number: int, at: datetime) -> None:
    cursor = encode_cursor(name, number, at)
    assert decode_cursor(cursor, (str, int, datetime)) == (name, number, at)
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&? ")


@given(st.text(max_size=30))
def test_foreign_cursors_are_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="next_cursor"):
        decode_cursor(cursor, (datetime, int, str, int))


def spec(**changes: Any) -> WorkloadSpec:
    return WorkloadSpec.model_validate(
        {
            "target": "Deployment/x",
            "demand": "rps",
            "capacity": {"per_replica": 5},
            "indicators": [{"name": "rps", "level": 1}],
            "sla": {"epsilon": 0.01, "window_s": 86400},
        }
        | changes
    )


def test_budget_is_unknown_until_it_has_been_counted() -> None:
    assert budget_remaining(None, spec(), 60) is None
    assert budget_remaining({"spent_steps": None}, spec(), 60) is None
    assert budget_remaining({"spent_steps": 0.0}, spec(), 60) == 1.0
    assert budget_remaining({"spent_steps": 7.2}, spec(), 60) == pytest.approx(0.5)
    assert budget_remaining({"spent_steps": 28.8}, spec(), 60) == pytest.approx(-1.0)


def test_pauses() -> None:
    assert not is_paused(spec(), AT)
    assert is_paused(spec(paused=True), AT)
    assert is_paused(spec(paused_until="2026-01-05T15:00:00Z"), AT)
    assert not is_paused(spec(paused_until="2026-01-05T14:00:00Z"), AT)
    assert is_paused(spec(paused_until="tomorrow"), AT)


def test_what_is_not_finite_is_unknown() -> None:
    assert finite(None) is finite(float("nan")) is finite(float("inf")) is None
    assert finite(0.1234567891) == 0.1234568
