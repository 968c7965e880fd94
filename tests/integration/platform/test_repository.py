"""The fleet at a glance, as the command line shows it."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.kernel.clock import FixedClock
from services.platform import repository
from tests.integration.admin.seeded_fleet import NOW, Seeded, seed_fleet
from tests.integration.admin.seeded_rows import STEP_S

pytestmark = pytest.mark.integration
NAMES = ["diffusion/sdxl-turbo", "llm-prod/llama-70b-chat", "llm-prod/mixtral-agents"]


@pytest.fixture
def seeded(database: Engine) -> Seeded:
    return seed_fleet(database)


def run(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def test_the_status_has_the_newest_of_each_active_workload(
    database: Engine, seeded: Seeded
) -> None:
    run(database, "UPDATE workloads SET is_active = name <> 'mixtral-agents'")
    rows = repository.load_status(database, FixedClock(seeded.now))
    assert [row["workload"] for row in rows] == NAMES[:2]
    sdxl, llama = rows
    assert (sdxl["mode"], llama["mode"]) == ("Approval", "Auto")
    assert {row["origin_at"] for row in rows} == {seeded.origins[-1]}
    assert {row["promised"] for row in rows} == {0.01}
    assert llama["believed"] == pytest.approx(4 / 48, abs=1e-4)
    assert (llama["measured"], llama["source"]) == (None, "believed")
    assert llama["budget_left"] == pytest.approx(1 - 4 / (0.01 * 7 * 288), abs=1e-4)
    assert min(row[name] for row in rows for name in ("current", "ready", "desired")) >= 2


def test_a_workload_of_which_nothing_is_known_has_a_status(database: Engine) -> None:
    seed_fleet(database, n_workloads=1, n_steps=2)
    for table in ("decisions", "replica_states", "risk_states"):
        run(database, f"DELETE FROM {table}")
    (row,) = repository.load_status(database, FixedClock(NOW))
    unknown = ("current", "ready", "desired", "reason", "origin_at")
    assert [row[name] for name in unknown] == [None] * 5
    assert [row[name] for name in ("measured", "believed", "source", "budget_left")] == [None] * 4
    ends = ("measured_low", "measured_high", "budget_left_low", "budget_left_high")
    assert [row[name] for name in ends] == [None] * 4


@pytest.mark.usefixtures("seeded")
def test_shards_are_those_of_active_workloads(database: Engine) -> None:
    run(database, "UPDATE workloads SET shard = 5 - id")
    assert repository.load_active_shards(database) == [2, 3, 4]
    run(database, "UPDATE workloads SET is_active = id = 2")
    assert repository.load_active_shards(database) == [3]


def test_the_newest_step_is_that_of_an_active_workloads_demand(
    database: Engine, seeded: Seeded
) -> None:
    assert repository.load_newest_steps(database) == {STEP_S: seeded.origins[-1]}
    newest = "step_at = (SELECT max(step_at) FROM indicators)"
    run(database, f"DELETE FROM indicators WHERE {newest} AND indicator <> 'queue_requests'")
    assert repository.load_newest_steps(database) == {STEP_S: seeded.origins[-2]}
    run(database, "UPDATE workloads SET is_active = false")
    assert repository.load_newest_steps(database) == {}


def test_forecasts_of_an_origin_show_quantiles_of_the_next_step(
    database: Engine, seeded: Seeded
) -> None:
    origin_at = seeded.origins[-1]
    rows = repository.load_forecasts_at(database, {STEP_S: origin_at})
    assert [row["workload"] for row in rows] == NAMES
    with database.connect() as connection:
        stored = connection.execute(
            text("SELECT quantiles FROM forecasts WHERE id = 100047")
        ).scalar_one()
    shown = rows[1]
    assert (shown["id"], shown["model"], shown["rung"]) == (100_047, "harmony-flow-3", "model")
    # rows of the table are the levels 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99
    for name, level in (("p10", 2), ("p50", 4), ("p90", 6), ("p99", 8)):
        assert shown[name] == pytest.approx(stored[level][0], abs=1e-3)
    assert not {"quantile_levels", "next_step"} & set(shown)
    assert repository.load_forecasts_at(database, {STEP_S: seeded.now}) == []


def test_a_level_or_value_that_a_forecast_lacks_is_none(database: Engine, seeded: Seeded) -> None:
    run(database, "UPDATE forecasts SET quantile_levels = '{0.5}', quantiles = '{{7},{8}}' "
                  "WHERE id = 100047")  # fmt: skip
    run(database, "UPDATE forecasts SET quantiles = '{}' WHERE id = 200047")
    _, llama, mixtral = repository.load_forecasts_at(database, {STEP_S: seeded.origins[-1]})
    assert [llama[name] for name in ("p10", "p50", "p90", "p99")] == [None, 7.0, None, None]
    assert [mixtral[name] for name in ("p10", "p50", "p90", "p99")] == [None] * 4


def test_decisions_of_an_origin_are_in_order_of_workloads(database: Engine, seeded: Seeded) -> None:
    rows = repository.load_decisions_at(database, {STEP_S: seeded.origins[0]})
    assert [(row["workload"], row["id"]) for row in rows] == list(
        zip(NAMES, (300_000, 100_000, 200_000), strict=True)
    )
    assert {row["risk_target"] for row in rows} == {0.01}
    for row in rows:
        assert (row["desired"] > row["current"]) == (row["direction"] == "up")
    assert repository.load_decisions_at(database, {STEP_S: seeded.now}) == []


def test_headroom_is_listed_by_cluster_and_type(database: Engine) -> None:
    assert repository.load_headroom(database) == []
    run(
        database,
        "INSERT INTO gpu_headroom VALUES (1, 'L4', 0.01, 9, 16, 8, 4, 0.213456, 0.00712, 40, "
        "false, 2, 1, 0.1, 0.5, 0, now(), now()), (1, 'H100', 0.05, 0, 0, 8, 4, 0, 0, 0, "
        "false, 2, 1, 0.1, 0.5, 0, now(), now())",
    )
    hopper, ada = repository.load_headroom(database)
    assert (hopper["cluster"], hopper["gpu_type"], hopper["gpus"]) == ("default", "H100", 0)
    assert (ada["gpu_type"], ada["gpus"], ada["free_gpus"], ada["usd_per_hour"]) == (
        "L4",
        16,
        4,
        40,
    )
    assert (ada["risk_before"], ada["risk_after"]) == (0.2135, 0.00712)


def test_what_is_small_is_not_rounded_to_nothing(database: Engine, seeded: Seeded) -> None:
    run(database, "UPDATE forecasts SET quantile_levels = '{0.5}', quantiles = '{{0.00004}}' "
                  "WHERE id = 100047")  # fmt: skip
    _, llama, _ = repository.load_forecasts_at(database, {STEP_S: seeded.origins[-1]})
    assert llama["p50"] == 0.00004
    run(
        database,
        "INSERT INTO gpu_headroom VALUES (1, 'L4', 0.01, 9, 16, 8, 4, 0.213456, 0.0000312345, 40, "
        "false, 2, 1, 0.1, 0.5, 0, now(), now())",
    )
    (row,) = repository.load_headroom(database)
    assert row["risk_after"] == 0.00003123


def test_the_newest_steps_of_each_length_are_told_apart(database: Engine, seeded: Seeded) -> None:
    run(database, "UPDATE workloads SET step_s = 15 WHERE id = 1")
    run(database, "UPDATE workloads SET step_s = 30 WHERE id = 2")
    run(database, "DELETE FROM indicators WHERE workload_id = 2")
    newest = seeded.origins[-1]
    assert repository.load_newest_steps(database) == {15: newest, 30: None, STEP_S: newest}
