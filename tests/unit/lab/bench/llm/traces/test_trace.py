"""What is scored of a trace, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.requests import RequestList
from tests.unit.lab.bench.llm.queue_engine import small_trace


def test_scoring_starts_after_the_warm_up_and_the_first_start_ups() -> None:
    trace = small_trace()
    assert trace.scored_from_s(0.0) == 300.0
    assert replace(trace, warm_s=400.0).scored_from_s(60.0) == 400.0
    with pytest.raises(InvalidInput, match="cannot be scored at a start-up of 600 s"):
        trace.scored_from_s(600.0)


def test_two_whole_minutes_are_scored_at_least() -> None:
    trace = small_trace(minutes=10)
    assert trace.scored_minutes(30.0) == (6, 9)
    cut = replace(trace, warm_s=421.0)
    with pytest.raises(
        InvalidInput, match=r"leave 1 whole minutes after the first 421 s, .* must be 2"
    ):
        cut.scored_minutes(30.0)
    with pytest.raises(InvalidInput, match="leave 0 whole minutes after the first 590 s"):
        replace(trace, warm_s=590.0).scored_minutes(30.0)


def test_each_half_of_what_is_scored_has_requests() -> None:
    trace = small_trace()
    trace.check_halves(30.0)
    is_early = trace.requests.arrival_ms < 470e3
    is_last = np.arange(len(trace.requests)) == len(trace.requests) - 1
    columns = ("arrival_ms", "input_tokens", "output_tokens")
    kept = (getattr(trace.requests, name)[is_early | is_last] for name in columns)
    with pytest.raises(InvalidInput, match="half of the scored minutes 6 to 11 has no request"):
        replace(trace, requests=RequestList(*kept)).check_halves(30.0)


def test_what_comes_before_what_is_scored_is_history_and_warm_up() -> None:
    trace = small_trace(history=True)
    n_warm = int((trace.requests.arrival_ms < 60e3).sum())
    found = trace.before
    assert len(found.requests) == 2 + n_warm
    assert found.requests.input_tokens.tolist() == [1, 1] + [500] * n_warm
    assert (found.history, found.goals, found.gpu) == (None, trace.goals, trace.gpu)
    assert len(replace(trace, history=None).before.requests) == n_warm
    assert len(replace(trace, history=None, warm_s=0.0).before.requests) == 1


def test_history_ends_before_the_start() -> None:
    trace = small_trace(history=True)
    assert trace.history is not None
    with pytest.raises(InvalidInput, match="history must end before"):
        replace(trace, history=trace.requests)
    with pytest.raises(InvalidInput, match="must not arrive before"):
        replace(trace, requests=trace.history)
    with pytest.raises(InvalidInput, match="must be longer than"):
        replace(trace, warm_s=10_000.0)


def test_a_request_that_fits_no_replica_is_named() -> None:
    trace = small_trace()
    trace.check_fits(502)
    inputs = trace.requests.input_tokens.copy()
    inputs[4] = 900
    columns = (trace.requests.arrival_ms, inputs, trace.requests.output_tokens)
    longer = replace(trace, requests=RequestList(*columns))
    with pytest.raises(InvalidInput, match=r"request 5 has 900 \+ 2 tokens, .* holds 502"):
        longer.check_fits(502)
    assert longer.shape.max_input == 900
    assert longer.shape.mean_output == pytest.approx(2.0)
    assert np.isclose(longer.until_s, trace.requests.arrival_ms[-1] / 1e3)
