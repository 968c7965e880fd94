"""The key sentence of a decision."""

from __future__ import annotations

from typing import Any

import pytest

from services.admin.decisions.key_wording import key_sentence
from tests.unit.cli.kubectl.views import decision

CARRIES = {
    "capacity_per_replica": 5800.0, "capacity_source": "stated", "demand_unit": "tokens/s",
}  # fmt: skip


def sentence(current: int, raw: int, final: int, p99: object, **changes: Any) -> str:
    explanation = {"quantiles": {"p50": 90e3, "p90": 100e3, "p99": p99}}
    counts = {"current_replicas": current, "raw_replicas": raw, "desired_replicas": final}
    return key_sentence(decision(**counts, **({"explanation": explanation} | CARRIES | changes)))


def test_it_says_what_runs_what_may_come_and_what_keeps_the_promise() -> None:
    assert sentence(20, 23, 23, 128e3) == (
        "20 replicas carry 116 k tokens/s; by the time a change takes effect it may be 128 k: "
        "23 keep the promise"
    )


def test_what_was_learned_is_about_and_guards_are_told() -> None:
    found = sentence(20, 23, 21, 128e3, capacity_source="learned")
    assert found.startswith("20 replicas carry about 116 k tokens/s")
    assert found.endswith("23 keep the promise, and the guards made it 21")


def test_what_is_borrowed_is_said_to_be() -> None:
    found = sentence(20, 23, 23, 128e3, capacity_source="group")
    assert found.startswith("20 replicas carry about 116 k tokens/s, going by others like it; by")


@pytest.mark.parametrize(
    ("counts", "changes"),
    [
        ((20, 23, 23), {"risk_estimated": 0.02}),  # those decided are expected to miss it
        ((20, 23, 23), {"risk_estimated": None}),
        ((20, 23, 25), {}),  # of those decided it is known, of fewer it is not
    ],
)
def test_it_says_that_a_count_keeps_the_promise_only_where_that_is_known(
    counts: tuple[int, int, int], changes: dict[str, Any]
) -> None:
    found = sentence(*counts, 128e3, **changes)
    assert "it may be 128 k: 23 are wanted" in found
    assert "keep" not in found


def test_a_laxer_promise_takes_a_lower_quantile() -> None:
    assert "may be 100 k" in sentence(
        20, 18, 18, 128e3, risk_target=0.05, reason="hold_within_risk"
    )


@pytest.mark.parametrize(
    ("counts", "p99", "changes"),
    [
        ((20, 23, 23), 100e3, {}),  # more, though what runs carries what may come
        ((20, 18, 18), 128e3, {}),  # fewer, though they do not
        ((20, 20, 20), 128e3, {"reason": "hold_within_risk"}),
        ((0, 1, 1), 128e3, {}),
        ((20, 23, 23), None, {}),
        ((20, 23, 23), 128e3, {"capacity_per_replica": None}),
        ((20, 23, 23), 128e3, {"reason": "scale_up_fallback"}),
        ((20, 23, 23), 128e3, {"explanation": {}}),
    ],
)
def test_it_is_silent_where_other_things_decided(
    counts: tuple[int, int, int], p99: object, changes: dict[str, Any]
) -> None:
    if p99 is None:
        changes = {"risk_target": 0.6, **changes}
    assert sentence(*counts, p99, **changes) == ""
