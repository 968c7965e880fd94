"""Traces by name, or of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.goals import RequestGoals
from services.lab.bench.llm.traces.load import TraceChoice, is_redrawn, load_trace
from services.lab.bench.llm.traces.trace_file import write_requests
from tests.unit.lab.bench.llm.queue_engine import small_trace


def test_what_is_chosen_replaces_what_is_the_traces_own() -> None:
    own = load_trace(TraceChoice("burst"), 7)
    goals = RequestGoals(1.0, 2.0)
    found = load_trace(TraceChoice("burst", gpu="a100_sxm", goals=goals, rate=2.0), 7)
    assert (own.gpu, found.gpu, found.goals) == ("h200_sxm", "a100_sxm", goals)
    assert len(found.requests) == pytest.approx(2 * len(own.requests), rel=0.05)


def test_a_file_is_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    write_requests(path, small_trace().requests)
    trace = load_trace(TraceChoice(str(path)), 7)
    assert (trace.name, len(trace.requests)) == ("mine", len(small_trace().requests))
    doubled = load_trace(TraceChoice(str(path), rate=2.0), 7)
    assert len(doubled.requests) == 2 * len(trace.requests)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (TraceChoice("azure"), "needs the public traces"),
        (TraceChoice("nowhere.jsonl"), "must be a file or one of azure, mooncake"),
        (TraceChoice("burst", rate=0.0), "--rate=0 must be > 0"),
        (TraceChoice("burst", rate=float("nan")), "--rate=nan must be > 0"),
        (TraceChoice("burst", prefixes=-1), "--prefixes=-1 must be >= 0"),
    ],
)
def test_what_is_no_trace_is_refused(choice: TraceChoice, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        load_trace(choice, 7)


def test_prompts_begin_alike_where_that_is_asked_for() -> None:
    plain, shared = (load_trace(TraceChoice("burst", prefixes=n), 7).requests for n in (0, 4))
    assert plain.prefix is None
    assert shared.prefix is not None
    assert {blocks[0] for blocks in shared.prefix if blocks} == {0, 2, 4, 6}
    assert np.array_equal(plain.input_tokens, shared.input_tokens)


def test_a_recording_stays_the_same_whatever_the_seed() -> None:
    assert is_redrawn("servegen")
    assert is_redrawn("ramp")
    assert not is_redrawn("azure")
    assert not is_redrawn("mine")
