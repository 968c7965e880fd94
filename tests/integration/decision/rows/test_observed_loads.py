"""Loads are those that were observed, whatever the steps of their workloads, kept or not."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Engine

from services.decision.rows.members import to_member
from services.decision.rows.observed_loads import load_further, load_observed
from services.decision.rows.repository import load_workloads
from services.decision.wiring import DecisionDeps
from services.kernel.db.steps.kept import KeptSteps
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP,
    TOKENS,
    add_demand,
    add_workload,
    bound_by_tokens,
)
from tests.integration.decision.views import members_of

pytestmark = pytest.mark.integration


def test_gaps_are_left_out_and_what_is_late_is_seen(deps: DecisionDeps) -> None:
    one = add_workload(deps.engine, "one", **bound_by_tokens())
    other = add_workload(deps.engine, "other")
    silent = add_workload(deps.engine, "silent")
    add_demand(deps.engine, one, [1.0, float("nan"), 3.0])
    add_demand(deps.engine, other, [5.0])
    add_demand(deps.engine, one, [7.0], indicator=TOKENS)
    kept, steps_s = KeptSteps(), [(ORIGIN - back * STEP).timestamp() for back in (2, 1, 0)]
    for late in (False, True):
        if late:
            add_demand(deps.engine, one, [1.0, 2.0, 3.0])
        with deps.engine.begin() as connection:
            rows = load_workloads(connection, 0)
            members = {int(row["id"]): to_member(row) for row in rows}
            first = ORIGIN - timedelta(hours=1)
            found = load_observed(connection, members, first, ORIGIN, kept)
            again = load_observed(connection, members, first, ORIGIN, KeptSteps())
        shown = {
            key: {name: (at.tolist(), values.tolist()) for name, (at, values) in by_name.items()}
            for key, by_name in found.items()
        }
        demand = ([*steps_s], [1.0, 2.0, 3.0]) if late else (steps_s[::2], [1.0, 3.0])
        assert shown == {
            one: {"request_rate_rps": demand, TOKENS: ([steps_s[-1]], [7.0])},
            other: {"request_rate_rps": ([steps_s[-1]], [5.0])},
        }
        assert silent not in found
        assert str(again) == str(found)
    assert NOW > ORIGIN


def test_only_named_loads_are_read_and_a_gap_is_no_zero(database: Engine) -> None:
    bound = add_workload(database, "bound", **bound_by_tokens())
    plain = add_workload(database, "plain")
    for workload in (bound, plain):
        values = [1.0, float("nan"), 3.0, 4.0]
        add_demand(database, workload, values, indicator=TOKENS)
        add_demand(database, workload, [9.0] * 4)
    with database.connect() as connection:
        members = members_of(connection)
        found = load_further(connection, members, ORIGIN - 2 * STEP, ORIGIN)
        nothing = load_further(connection, {plain: members[plain]}, ORIGIN - STEP, ORIGIN)
    assert list(found) == [bound]
    at_s, values = found[bound][TOKENS]
    assert at_s.tolist() == [(ORIGIN - STEP).timestamp(), ORIGIN.timestamp()]
    np.testing.assert_array_equal(values, [3.0, 4.0])
    assert nothing == {}
