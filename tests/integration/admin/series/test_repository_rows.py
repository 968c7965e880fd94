"""Time series as they are stored: which rows a window, an origin or a page has."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from services.admin.rest.times import Window
from services.admin.series import repository
from tests.integration.admin.seeded_fleet import Seeded
from tests.integration.admin.seeded_rows import HORIZON, LEVELS, STEP_S

pytestmark = pytest.mark.integration
STEP = timedelta(seconds=STEP_S)
LLAMA = 1
LAST = 47


def window(seeded: Seeded, first: int, last: int) -> Window:
    return Window(seeded.origins[first], seeded.origins[last])


def test_indicators_are_those_asked_for_with_both_ends(database: Engine, seeded: Seeded) -> None:
    names = ["queue_requests", "output_tokens_per_s"]
    with database.connect() as connection:
        rows = repository.load_indicators(connection, LLAMA, names, window(seeded, 15, 17))
    assert [(row["indicator"], row["step_at"]) for row in rows] == [
        (name, seeded.origins[t]) for name in sorted(names) for t in (15, 16, 17)
    ]
    # the demand of step 16 was not observed
    assert [row["is_observed"] for row in rows] == [True, False, True, True, True, True]


def test_a_forecast_is_that_of_its_origin_or_the_newest(database: Engine, seeded: Seeded) -> None:
    with database.connect() as connection:
        newest = repository.load_forecast(connection, LLAMA, None, seeded.now)
        old = repository.load_forecast(connection, LLAMA, seeded.origins[3], seeded.now)
        assert repository.load_forecast(connection, LLAMA, seeded.now, seeded.now) is None
        assert repository.load_forecast(connection, 99, None, seeded.now) is None
        some = repository.load_forecasts_at(
            connection, LLAMA, [seeded.origins[5], seeded.now, seeded.origins[3]]
        )
    assert newest is not None
    assert old is not None
    assert (newest["id"], old["id"]) == (100_000 + LAST, 100_003)
    assert [row["id"] for row in some] == [100_003, 100_005]
    assert dict(some[0]) == dict(old)


def test_origins_before_after_and_up_to_a_time(database: Engine, seeded: Seeded) -> None:
    at = seeded.origins
    with database.connect() as connection:
        assert repository.load_newest_origin(connection, LLAMA, seeded.now) == at[LAST]
        assert repository.load_newest_origin(connection, LLAMA, at[4]) == at[4]
        assert repository.load_newest_origin(connection, LLAMA, at[0] - STEP) is None
        neighbours = repository.load_neighbour_origins
        assert neighbours(connection, LLAMA, at[4]) == (at[3], at[5])
        assert neighbours(connection, LLAMA, at[0]) == (None, at[1])
        assert neighbours(connection, LLAMA, at[LAST]) == (at[LAST - 1], None)
        filters = {"from_at": at[2], "to_at": at[9], "after": (at[5], 100_005)}
        rows = repository.load_origins(connection, LLAMA, filters, 2)
    assert [row["id"] for row in rows][:2] == [100_004, 100_003]


def test_steps_ahead_are_of_the_forecasts_made_before_them(
    database: Engine, seeded: Seeded
) -> None:
    with database.connect() as connection:
        asked = window(seeded, 10, 12)
        rows = repository.load_forecasts_ahead(connection, LLAMA, 2, asked)
        made = repository.load_forecast(connection, LLAMA, seeded.origins[8], seeded.now)
        beyond = repository.load_forecasts_ahead(connection, LLAMA, HORIZON + 1, asked)
    assert [row["step_at"] for row in rows] == seeded.origins[10:13]
    assert made is not None
    assert rows[0]["quantiles"] == [[level[1]] for level in made["quantiles"]]
    assert beyond == []


def test_series_of_a_window_are_columns(database: Engine, seeded: Seeded) -> None:
    asked = window(seeded, 2, 4)
    with database.connect() as connection:
        outcomes = repository.load_outcome_series(connection, LLAMA, asked)
        decided = repository.load_decided_series(connection, LLAMA, asked)
        states = repository.load_state_series(connection, LLAMA, asked)
        nothing = repository.load_state_series(connection, 99, asked)
    assert list(outcomes) == ["step_at", "needed", "measured_ratio", "believed_ratio"]
    assert outcomes["step_at"] == decided["origin_at"] == seeded.origins[2:5]
    assert states["observed_at"] == seeded.origins[2:5]
    assert min(decided["desired"]) >= 2
    assert nothing == {name: [] for name in ("observed_at", "spec", "ready", "starting", "pending")}


def test_quality_is_the_mean_of_all_scores_or_of_every_nth(
    database: Engine, seeded: Seeded
) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE forecast_scores SET crps = 1 WHERE forecast_id % 2 = 1"))
        since = seeded.origins[0]

        def quality(n_most: int) -> tuple[int, float]:
            (row,) = repository.load_quality(connection, LLAMA, since, STEP_S, n_most)
            assert set(row["coverage"]) == {str(level) for level in LEVELS}
            assert row["newest_origin_at"] > since
            return row["n_forecasts"], round(row["crps"], 9)

        assert quality(48) == (48, 0.54)
        assert quality(24) == (24, 0.08)
        assert repository.load_quality(connection, LLAMA, seeded.now, STEP_S, 48) == []


def test_quality_is_that_of_the_newest_forecasts_after_steps_became_longer(
    database: Engine, seeded: Seeded
) -> None:
    """An origin of before may lie between the steps of today, and is none to count from."""
    before = seeded.origins[0] - timedelta(seconds=STEP_S / 5)
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO forecast_scores SELECT s.forecast_id + 1000000, :before, "
                "s.workload_id, s.model_version, s.n_steps, s.crps, s.pinball, s.coverage, "
                "s.crps_last_value, s.skill_vs_last_value, s.scored_at FROM forecast_scores s "
                "WHERE s.workload_id = :id AND s.origin_at = :at"
            ),
            {"before": before, "id": LLAMA, "at": seeded.origins[0]},
        )
        (row,) = repository.load_quality(connection, LLAMA, before, STEP_S, 100)
    assert row["newest_origin_at"] > seeded.origins[40]
    assert row["n_forecasts"] == 48


def test_lead_times_are_of_starts_that_became_ready(database: Engine, seeded: Seeded) -> None:
    with database.begin() as connection:
        connection.execute(
            text("UPDATE pod_starts SET ready_at = requested_at + interval '90 s' "
                 "WHERE ready_at IS NOT NULL")
        )  # fmt: skip
        connection.execute(
            text("UPDATE pod_starts SET gone_at = requested_at WHERE pod_uid = '1-7'")
        )
        row = repository.load_lead_times(connection, LLAMA, seeded.origins[0])
        none = repository.load_lead_times(connection, LLAMA, seeded.now)
    # of twenty starts every seventh, from the first, is not ready
    assert (row["n_measured"], row["n_on_the_way"], row["n_abandoned"]) == (17, 2, 1)
    assert [row[name] for name in ("p50_s", "p90_s", "p99_s", "max_s")] == [90.0] * 4
    assert (none["n_measured"], none["max_s"]) == (0, None)
