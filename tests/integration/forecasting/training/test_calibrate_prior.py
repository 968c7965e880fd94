"""The prior learns its hedge and calibration from histories before it has forecast anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast.service import Forecasting
from services.forecasting.online import learn
from services.forecasting.registry.shipped import shipped_prior
from services.forecasting.rows import repository
from services.forecasting.training import calibrate_prior as calibration
from services.forecasting.training.calibrate_prior import calibrate_prior
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.forecasting.simple_fleet import (
    NAMES,
    ORIGIN,
    STEP,
    STEP_S,
    add_indicators,
    add_workload,
    demand,
    fill,
    rows_of,
)

pytestmark = pytest.mark.integration
VERSION = f"prior-{shipped_prior().version}"


@pytest.fixture
def app(database: Engine, settings: Settings) -> Forecasting:
    few = settings.model_copy(update={"n_paths": 20, "step_s": STEP_S, "fit_max_steps": 700})
    return make_forecasting(few, RecordingSender(), FixedClock(ORIGIN + STEP))


def states(app: Forecasting, ids: list[int]) -> dict[int, dict[str, object]]:
    with app.engine.connect() as connection:
        return repository.load_calibration(connection, ids, VERSION)


def test_each_history_teaches_the_prior_once(app: Forecasting) -> None:
    ids = fill(app.engine, 2)
    assert calibrate_prior(app) == 2
    found = states(app, ids)
    assert list(found) == ids
    assert all(learn.HEDGE in state for state in found.values())
    assert found[ids[0]] != found[ids[1]]
    assert calibrate_prior(app) == 0, "what forecasts have taught since stays"
    assert states(app, ids) == found
    assert rows_of(app.engine, "SELECT 1 FROM models") == [], "nothing is fitted"


def test_a_large_fleet_holds_forecasts_up_for_a_while_only(
    app: Forecasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "MAX_WORKLOADS", 1)
    first, second = fill(app.engine, 2)
    assert calibrate_prior(app) == 1
    assert list(states(app, [first, second])) == [first]
    assert calibrate_prior(app) == 1
    assert list(states(app, [first, second])) == [first, second]


def test_workloads_without_a_history_keep_no_other_from_being_taught(
    app: Forecasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "MAX_WORKLOADS", 1)
    silent, unseen = (add_workload(app.engine, f"a{i}") for i in range(2))
    add_indicators(app.engine, unseen, demand(3), silent=NAMES[:1])
    (taught,) = fill(app.engine, 1)
    assert calibrate_prior(app) == 1
    assert list(states(app, [silent, unseen, taught])) == [taught]


def test_one_that_cannot_be_read_keeps_no_other_from_being_taught(app: Forecasting) -> None:
    spoilt, good = fill(app.engine, 2)
    with app.engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET spec = spec - 'target' WHERE id = :id"), {"id": spoilt}
        )
    assert calibrate_prior(app) == 1
    assert list(states(app, [spoilt, good])) == [good]


def test_what_outcomes_teach_while_it_runs_stays(
    app: Forecasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = fill(app.engine, 2)
    replayed = calibration.warm_states

    def taught_meanwhile(*given: Any) -> dict[str, dict[str, Any]]:
        with app.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO calibration_states (workload_id, model_version, state, updated_at)"
                    " VALUES (:id, :version, '{\"n_seen\": 99}', now())"
                ),
                {"id": first, "version": VERSION},
            )
        return replayed(*given)

    monkeypatch.setattr(calibration, "warm_states", taught_meanwhile)
    assert calibrate_prior(app) == 1
    found = states(app, [first, second])
    assert found[first] == {"n_seen": 99}
    assert learn.HEDGE in found[second]


def test_without_a_prior_or_a_history_there_is_nothing_to_do(app: Forecasting) -> None:
    assert calibrate_prior(app) == 0
    ids = fill(app.engine, 1)
    settings = app.settings.model_copy(update={"has_prior": False})
    assert calibrate_prior(make_forecasting(settings, app.sender, app.clock)) == 0
    early = replace(app, clock=FixedClock(ORIGIN - 2 * 700 * STEP))
    assert calibrate_prior(early) == 0
    assert states(app, ids) == {}
