"""Further loads as they were observed, from a real Postgres."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine

from services.decision.rows.further import load_further
from tests.integration.decision.stored_rows import (
    ORIGIN,
    STEP,
    TOKENS,
    add_demand,
    add_workload,
    bound_by_tokens,
)
from tests.integration.decision.views import members_of

pytestmark = pytest.mark.integration


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
