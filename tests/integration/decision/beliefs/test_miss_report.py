"""What was learned, in lines: with the reasons why nothing is in use."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import text

from services.decision.beliefs.miss_report import LearnedLine, report_learned
from services.decision.beliefs.misses import believed_responses
from services.decision.wiring import DecisionDeps
from services.kernel.db.session import unit_of_work
from tests.integration.decision.measured_loop import OBJECTIVE
from tests.integration.decision.measured_steps import add_measured_steps
from tests.integration.decision.pool_rows import ROOM, add_shown_service
from tests.integration.decision.pool_steps import add_quiet_pools
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    TOKENS,
    add_workload,
    bound_by_tokens,
)
from tests.integration.decision.views import members_of

pytestmark = pytest.mark.integration


def lines(deps: DecisionDeps) -> list[LearnedLine]:
    with deps.engine.connect() as connection:
        return report_learned(connection, list(members_of(connection).values()), NOW)


def test_a_line_follows_a_workload_from_nothing_to_a_changed_spec(deps: DecisionDeps) -> None:
    sla = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}
    workload = add_workload(deps.engine, "w", sla=sla)
    (line,) = lines(deps)
    assert line.note.startswith("0 measured steps")
    add_measured_steps(deps.engine, workload, 8.0, np.linspace(5.0, 9.0, 30))
    (line,) = lines(deps)
    assert line.note == "there are enough steps: one of the next decisions learns it"
    assert (line.summary, line.n_steps) == (None, None)
    with unit_of_work(deps.engine, deps.sender) as work:
        believed_responses(work, deps.settings, members_of(work.connection), ORIGIN)
    (line,) = lines(deps)
    assert line.summary is not None
    assert line.summary["p50"] == pytest.approx(8.0, rel=0.1)
    assert (line.stated, line.n_steps, line.note) == (10.0, 30, "")
    with deps.engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET spec = jsonb_set(spec, '{capacity,per_replica}', '9')")
        )
    (line,) = lines(deps)
    assert line.note.startswith("the spec has changed since it was learned; there are enough")
    assert line.learned_at is None
    with deps.engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET spec = jsonb_set(spec, '{gpus_per_replica}', '2')")
        )
    (line,) = lines(deps)
    assert line.note.startswith("the spec has changed since it was learned; 0 measured steps")


def test_several_loads_are_told_one_by_one(deps: DecisionDeps) -> None:
    """A replica carries 8 requests or 80 tokens; 10 and 100 were stated, and tokens bind lately."""
    sla = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}
    workload = add_workload(deps.engine, "w", sla=sla, **bound_by_tokens(100.0))
    (line,) = lines(deps)
    assert [one.indicator for one in line.loads] == ["request_rate_rps", TOKENS]
    assert [one.stated for one in line.loads] == [10.0, 100.0]
    assert [(one.p50, one.bound_share) for one in line.loads] == [(None, None)] * 2
    rng = np.random.default_rng(0)
    load, tokens = rng.uniform(3.0, 8.5, 200), rng.uniform(30.0, 85.0, 200)
    load[:60], tokens[:60] = 3.0, 70.0
    add_measured_steps(deps.engine, workload, 8.0, load, tokens=tokens)
    (line,) = lines(deps)
    assert line.note.startswith("there are enough steps")
    assert [one.bound_share for one in line.loads] == [0.0, 1.0], "by what is stated"
    with unit_of_work(deps.engine, deps.sender) as work:
        believed_responses(work, deps.settings, members_of(work.connection), ORIGIN)
    (line,) = lines(deps)
    requests, output = line.loads
    assert requests.p50 == pytest.approx(8.0, rel=0.2)
    assert output.p50 == pytest.approx(80.0, rel=0.15)
    assert output.p10 is not None
    assert output.p90 is not None
    assert output.p10 < output.p50 < output.p90
    assert output.bound_share == pytest.approx(1.0, abs=0.02)
    assert line.summary is not None
    assert line.summary["sharing"]["p50"] > 1.5, "the tighter binds"


def test_a_load_says_what_how_full_its_pool_is_told_of_it(deps: DecisionDeps) -> None:
    add_quiet_pools(deps.engine, add_shown_service)
    with unit_of_work(deps.engine, deps.sender) as work:
        believed_responses(work, deps.settings, members_of(work.connection), ORIGIN)
    (line,) = lines(deps)
    prefill, decode = line.loads
    assert (prefill.full_share, line.note) == (None, "")
    assert decode.full_share == pytest.approx(0.1, rel=0.1), "80 of 800 tokens at most"


def test_an_occupancy_that_nothing_was_measured_of_is_said(deps: DecisionDeps) -> None:
    add_quiet_pools(deps.engine, add_shown_service)
    with unit_of_work(deps.engine, deps.sender) as work:
        work.connection.execute(
            text("DELETE FROM indicators WHERE indicator = :name"), {"name": ROOM}
        )
        believed_responses(work, deps.settings, members_of(work.connection), ORIGIN)
    (line,) = lines(deps)
    assert line.note == (
        "what pool decode carries is taken as stated and by misses: too little was measured of "
        "its occupancy_indicator kv_cache_ratio"
    )
    assert [load.full_share for load in line.loads] == [None, None]
