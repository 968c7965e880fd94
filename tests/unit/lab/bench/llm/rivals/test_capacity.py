"""What a request costs a worker, from limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.kernel.errors import InvalidInput
from services.lab.arena.goals import RequestGoals
from services.lab.arena.requests import RequestList
from services.lab.bench.llm.rivals import capacity
from services.lab.bench.llm.rivals.capacity import (
    WorkLaw,
    law_of_limits,
    limit_of,
    measure_work,
    needed_workers,
)
from tests.unit.lab.bench.llm.queue_engine import QueueEngine, small_trace

RATES = st.floats(0.01, 100.0)


@given(whole=RATES, longer=RATES, answers=RATES)
def test_the_law_explains_the_limit_it_was_made_of(
    whole: float, longer: float, answers: float
) -> None:
    law = law_of_limits((whole, longer, answers), 700.0, 90.0)
    assert law.of(np.array([700.0]), np.array([90.0]))[0] == pytest.approx(1.0 / whole)
    assert min(law.per_request_s, law.per_input_s, law.per_output_s) >= 0


def test_what_doubling_costs_is_that_tokens() -> None:
    law = law_of_limits((2.0, 1.25, 2.0), 1000.0, 100.0)
    assert law.per_input_s == pytest.approx(0.3 / 1000)
    assert law.per_output_s == 0
    assert law.per_request_s == pytest.approx(0.2)


def test_a_limit_lies_where_shares_that_scatter_cross() -> None:
    rates = np.array([1.0, 2.0, 4.0, 8.0])
    assert limit_of(rates, np.array([0.0, 0.0, 0.1, 0.5])) == pytest.approx(2 * 2**0.5)
    assert limit_of(rates, np.array([0.06, 0.0, 0.0, 0.5])) > 2.0
    assert limit_of(rates, np.array([0.2, 0.3, 0.4, 0.5])) == 0
    assert limit_of(rates, np.zeros(4)) == 8.0


def test_a_queue_of_known_work_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "_MINUTES", 6.0)
    law = measure_work(cast("Any", QueueEngine()), small_trace())
    worked = law.of(np.array([500.0]), np.array([2.0]))[0]
    # half a second each; a queue keeps 2 s for 95 % until it is nearly full
    assert 0.5 <= worked <= 0.65
    assert law.per_input_s > 0


def test_goals_that_no_rate_keeps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "_MINUTES", 6.0)
    trace = replace(small_trace(), goals=RequestGoals(400.0, 100.0))
    with pytest.raises(InvalidInput, match="small: on h200_sxm more than 5% of the requests miss"):
        measure_work(cast("Any", QueueEngine()), trace)


def test_needs_are_work_over_time() -> None:
    requests = RequestList(
        np.array([0.0, 1000.0, 16_000.0]), np.array([10, 20, 30]), np.array([1, 1, 1])
    )
    law = WorkLaw(1.0, 0.1, 0.0)
    assert needed_workers(requests, law, 15.0) == pytest.approx([5.0 / 15.0, 4.0 / 15.0])
    assert law.seconds(requests) == pytest.approx([2.0, 3.0, 4.0])
