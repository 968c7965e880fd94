"""The advisory report of services that were not there all the time, beside the showback of it."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.admin.rest.times import Window
from services.admin.showback.repository import load_costs
from services.advisory.report import ServiceReport
from services.advisory.service import AdvisoryQuery, load_report
from services.operator.reconcile.repository import set_active
from tests.integration.advisory.watched import N_STEPS, SINCE, START, add_ran, add_watched, came
from tests.integration.decision.stored_rows import NOW, STEP

pytestmark = pytest.mark.integration
STEP_H = 1 / 12


def advise(database: Engine) -> ServiceReport:
    with database.connect() as connection:
        (one,) = load_report(connection, AdvisoryQuery(SINCE), NOW).services
    return one


def unmeasured(database: Engine) -> float:
    """Hours of unknown cost by the showback."""
    with database.connect() as connection:
        (row,) = load_costs(connection, None, {}, Window(START, NOW), NOW)
    return float(row["unmeasured_hours"])


def test_time_before_it_came_is_none_of_unknown_cost(database: Engine) -> None:
    workload = add_watched(database, "w")
    add_ran(database, workload, 4, [2] * 4)
    came(database, workload, NOW - 8 * STEP)
    one = advise(database)
    assert one.window_hours == pytest.approx((4 + 8) * STEP_H), "what ran before counts, too"
    assert one.unpriced_hours == pytest.approx(8 * STEP_H)
    assert one.undecided_hours == pytest.approx(12 * STEP_H)
    assert one.unpriced_hours == pytest.approx(unmeasured(database), abs=1e-6)


def test_time_that_it_was_away_is_none_of_unknown_cost(database: Engine) -> None:
    workload = add_watched(database, "w")
    add_ran(database, workload, 4, [2] * 6)
    left_at, back_at = START + 6.5 * STEP, START + 19.5 * STEP
    for is_active, at in ((False, left_at), (True, back_at)):
        with database.begin() as connection:
            set_active(connection, [workload], is_active, at)
    one = advise(database)
    n_there = N_STEPS - 14
    assert one.window_hours == pytest.approx(n_there * STEP_H)
    assert one.unpriced_hours == pytest.approx((n_there - 6) * STEP_H)
    assert one.unpriced_hours == pytest.approx(unmeasured(database), abs=1e-6)
