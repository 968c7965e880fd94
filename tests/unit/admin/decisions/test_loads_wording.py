"""Which load binds, from a stored explanation."""

from __future__ import annotations

from typing import Any

import pytest

from services.admin.decisions.loads_wording import bound_shares, explain_loads
from services.admin.decisions.wording import explain
from tests.unit.cli.kubectl.views import decision

BOUND = {"bound_by": {"load_rps": 0.2, "output_tokens_per_s": 0.8}}


def test_the_load_that_mostly_binds_is_told() -> None:
    assert explain_loads(BOUND) == "Mostly bound by output_tokens_per_s (80 %)"
    assert explain(decision(explanation=BOUND)).loads == explain_loads(BOUND)


def test_what_a_decision_went_by_instead_is_told() -> None:
    record = {"further_loads": {"missing": ["x"], "message": "nothing is known of x"}}
    assert explain_loads(record) == "Nothing is known of x"


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"bound_by": None},
        {"bound_by": [0.2, 0.8]},
        {"bound_by": {"x": None}},
        {"further_loads": 1},
    ],
)
def test_what_is_not_there_is_left_out(record: dict[str, Any]) -> None:
    assert explain_loads(record) == ""
    assert bound_shares(record) == {}
