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
