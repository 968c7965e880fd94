"""How full pools were in measured steps, from a real Postgres."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, event, text

from services.decision.beliefs.miss_steps import StepSpan, load_steps
from tests.integration.decision.measured_loop import OBJECTIVE, STEP
from tests.integration.decision.measured_steps import add_measured_steps
from tests.integration.decision.pool_rows import ROOM, add_service, add_shown_service
from tests.integration.decision.stored_rows import ORIGIN, TOKENS, add_demand
from tests.integration.decision.views import members_of

pytestmark = pytest.mark.integration
SLA = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}
LAST = ORIGIN - timedelta(minutes=1)


def test_how_full_a_pool_was_stands_beside_its_loads(database: Engine) -> None:
    """Of four steps the third has no reading; a service whose pools name none costs no query."""
    shown = add_shown_service(database, sla=SLA)
    hidden = add_service(database, "hidden", sla=SLA)
    for workload in (shown, hidden):
        add_measured_steps(database, workload, 9.0, np.linspace(5.0, 9.0, 4))
        add_demand(database, workload, [400.0] * 4, last=LAST, indicator=TOKENS, step=STEP)
        add_demand(
            database, workload, [0.2, 0.3, np.nan, 0.5], last=LAST, indicator=ROOM, step=STEP
        )
    with database.begin() as connection:
        connection.execute(
            text("UPDATE outcomes SET ready_by_pool = CAST(:ready AS jsonb)"),
            {"ready": '{"prefill": 2.0, "decode": 5.0}'},
        )
    first = dict.fromkeys((shown, hidden), ORIGIN - timedelta(days=1))
    asked: list[str] = []
    event.listen(database, "before_cursor_execute", lambda *given: asked.append(given[2]))
    with database.connect() as connection:
        members = members_of(connection)
        found = load_steps(connection, list(members.values()), StepSpan(first, ORIGIN, 100))
        with_it = len(asked)
        first.pop(shown)
        load_steps(connection, [members[hidden]], StepSpan(first, ORIGIN, 100))
    np.testing.assert_allclose(found[shown].occupancy, [[0.2], [0.3], [np.nan], [0.5]])
    assert found[hidden].occupancy.shape == (4, 0)
    assert len(asked) - with_it < with_it - 1
