"""SLA classes in use, read from a real database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, RowMapping, text

from services.admin.classes.repository import load_classes
from tests.integration.admin.seeded_fleet import Seeded

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
KNOWN: dict[str, Any] = {
    "defaults": {
        "name": "silver",
        "priority": 100,
        "epsilon": 0.03,
        "kind": "TimeFraction",
        "window_s": 86_400.0,
    },
    "priorities": {"gold": 200, "bronze": 50},
}
UNMEASURED = "sli_requests = NULL, measured_violation_ratio = NULL"
LONG_AGO = datetime.fromisoformat("2026-01-01T00:00:00Z")


def promise(database: Engine, name: str, sla: str) -> None:
    """Give a workload another promise."""
    statement = "UPDATE workloads SET spec = jsonb_set(spec, '{sla}', CAST(:sla AS jsonb))"
    with database.begin() as connection:
        connection.execute(text(f"{statement} WHERE name = :name"), {"sla": sla, "name": name})


def classes(
    database: Engine, limit: int = 100, since: datetime = LONG_AGO, **filters: Any
) -> dict[str, RowMapping]:
    with database.connect() as connection:
        rows = load_classes(connection, KNOWN | filters, since, limit)
    return {row["name"]: row for row in rows}


@pytest.fixture
def promises(database: Engine, seeded: Seeded) -> None:
    """Two workloads of the class gold and one of bronze."""
    gold = '{"sla_class": "gold", "epsilon": 0.01, "kind": "DemandFraction"}'
    promise(database, "llama-70b-chat", gold)
    promise(database, "mixtral-agents", '{"sla_class": "gold", "epsilon": 0.9, "priority": 300}')
    promise(database, "sdxl-turbo", '{"sla_class": "bronze"}')


@pytest.mark.usefixtures("promises")
def test_classes_are_listed_by_name_in_pages(database: Engine) -> None:
    assert list(classes(database)) == ["bronze", "gold"]
    assert list(classes(database, 1)) == ["bronze"]
    assert list(classes(database, after=("bronze",))) == ["gold"]
    assert list(classes(database, name="gold")) == ["gold"]
    assert classes(database, name="silver") == {}


@pytest.mark.usefixtures("promises")
def test_a_class_tells_what_its_workloads_promise(database: Engine) -> None:
    found = classes(database)
    gold, bronze = found["gold"], found["bronze"]
    assert (gold["n_workloads"], gold["priority"]) == (2, 300)
    assert (gold["epsilon_min"], gold["epsilon_max"]) == (0.01, 0.9)
    assert sorted(gold["kinds"]) == ["DemandFraction", "TimeFraction"]
    assert (bronze["n_workloads"], bronze["priority"], bronze["epsilon_max"]) == (1, 50, 0.03)


def test_who_names_no_class_is_of_the_default_one(database: Engine) -> None:
    for name in ("llama-70b-chat", "mixtral-agents", "sdxl-turbo"):
        promise(database, name, "{}")
    (silver,) = classes(database).values()
    assert (silver["name"], silver["n_workloads"], silver["priority"]) == ("silver", 3, 100)
    assert (silver["epsilon_min"], silver["kinds"]) == (0.03, ["TimeFraction"])


@pytest.mark.usefixtures("promises")
def test_a_class_is_of_the_workloads_that_may_be_seen_and_are_active(database: Engine) -> None:
    assert list(classes(database, namespaces=frozenset({"diffusion"}))) == ["bronze"]
    assert classes(database, namespaces=frozenset[str]()) == {}
    with database.begin() as connection:
        gone = "UPDATE workloads SET is_active = false WHERE name = 'mixtral-agents'"
        connection.execute(text(gone))
    assert classes(database)["gold"]["n_workloads"] == 1


def leave(database: Engine, name: str, seeded: Seeded) -> None:
    """As the operator notes it when a GPUAutoscaler is deleted."""
    statement = "UPDATE workloads SET is_active = false, updated_at = :now WHERE name = :name"
    with database.begin() as connection:
        connection.execute(text(statement), {"now": seeded.now, "name": name})


@pytest.mark.usefixtures("promises")
def test_what_one_cost_that_left_stays_in_the_sums_of_its_class(
    database: Engine, seeded: Seeded
) -> None:
    before = classes(database)
    for name in ("mixtral-agents", "sdxl-turbo"):
        leave(database, name, seeded)
    found = classes(database)
    for name, n_active in (("gold", 1), ("bronze", 0)):
        for column in ("gpu_hours", "cost_usd"):
            assert found[name][column] == pytest.approx(before[name][column]), name
        assert found[name]["n_workloads"] == n_active
    gold, bronze = found["gold"], found["bronze"]
    assert (gold["priority"], gold["epsilon_max"], gold["kinds"]) == (200, 0.01, ["DemandFraction"])
    assert (gold["n_measured"], gold["n_steps"]) == (0, len(seeded.origins))
    assert (bronze["n_steps"], bronze["violation_ratio"], bronze["n_over_promise"]) == (0, None, 0)
    assert classes(database, since=seeded.now).keys() == {"gold"}, "nothing was spent since"


@pytest.mark.usefixtures("promises")
def test_what_is_believed_of_a_class_adds_up_from_a_time_on(
    database: Engine, seeded: Seeded
) -> None:
    middle = seeded.origins[24]
    with database.begin() as connection:
        # each out of SLA for a third of the time: too much for 0.01, not for 0.9
        change = "UPDATE outcomes SET violation_ratio = 1.0 / 3, gpu_hours = 2, cost_usd = 5, "
        connection.execute(text(f"{change} {UNMEASURED}"))
    gold = classes(database, since=middle)["gold"]
    assert (gold["n_steps"], gold["n_measured_steps"], gold["n_measured"]) == (48, 0, 0)
    assert gold["violation_ratio"] == gold["believed_ratio"] == pytest.approx(1 / 3, rel=1e-5)
    assert gold["measured_ratio"] is None
    assert (gold["gpu_hours"], gold["cost_usd"]) == (96, 240)
    assert gold["n_over_promise"] == 1


@pytest.mark.usefixtures("promises")
def test_what_was_not_measured_is_null(database: Engine, seeded: Seeded) -> None:
    gold = classes(database, since=seeded.now)["gold"]
    assert (gold["n_steps"], gold["n_measured_steps"], gold["n_over_promise"]) == (0, 0, 0)
    assert (gold["violation_ratio"], gold["gpu_hours"], gold["cost_usd"]) == (None, None, None)


@pytest.mark.usefixtures("promises")
def test_where_a_promise_is_measured_its_class_goes_by_that(database: Engine) -> None:
    with database.begin() as connection:
        change = f"UPDATE outcomes SET violation_ratio = 0.5, {UNMEASURED}"
        connection.execute(text(change))
        # of requests: 1 of 100 in half of the steps, 5 of 300 in the others: 1.5 %, not 1.33 %
        felt = (
            "UPDATE outcomes o SET sli_requests = n, measured_violation_ratio = m FROM (SELECT "
            "workload_id, step_at, CASE WHEN row_number() OVER (ORDER BY step_at) % 2 = 0 "
            "THEN 100 ELSE 300 END AS n, CASE WHEN row_number() OVER (ORDER BY step_at) % 2 = 0 "
            "THEN 0.01 ELSE 5.0 / 300 END AS m FROM outcomes WHERE workload_id = 1) f "
            "WHERE o.workload_id = f.workload_id AND o.step_at = f.step_at"
        )
        connection.execute(text(felt))
        open_row = (
            "UPDATE outcomes SET measured_violation_ratio = 1, is_final = false "
            "WHERE workload_id = 2"
        )
        connection.execute(text(open_row))
    gold = classes(database)["gold"]
    assert gold["measured_ratio"] == pytest.approx(0.015)
    assert gold["believed_ratio"] == pytest.approx(0.5)
    assert gold["violation_ratio"] == pytest.approx((0.015 + 0.5) / 2)
    assert (gold["n_measured"], gold["n_measured_steps"], gold["n_steps"]) == (1, 48, 96)
    assert gold["n_over_promise"] == 1, (
        "1.5 % of 1 % promised; what may still change is not counted"
    )


@pytest.mark.usefixtures("promises")
def test_a_day_without_requests_is_measured_and_nobodys_violation(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text(f"UPDATE outcomes SET violation_ratio = 1, {UNMEASURED}"))
        idle = (
            "UPDATE outcomes SET measured_violation_ratio = 0, sli_requests = 0 "
            "WHERE workload_id = 1"
        )
        connection.execute(text(idle))
    gold = classes(database)["gold"]
    assert (gold["measured_ratio"], gold["n_measured"], gold["n_steps"]) == (None, 1, 48)
    assert (gold["violation_ratio"], gold["n_over_promise"]) == (1.0, 1)


@pytest.mark.usefixtures("promises")
def test_a_promise_that_was_spoilt_by_hand_keeps_no_class_from_being_shown(
    database: Engine,
) -> None:
    promise(
        database, "sdxl-turbo", '{"sla_class": "bronze", "priority": "high", "epsilon": "small"}'
    )
    found = classes(database)
    assert list(found) == ["bronze", "gold"]
    assert (found["bronze"]["priority"], found["bronze"]["epsilon_max"]) == (50, 0.03)
    promise(database, "sdxl-turbo", '{"sla_class": "bronze", "priority": 1e300}')
    assert classes(database)["bronze"]["priority"] == 10**9


@pytest.mark.parametrize("column", ["measured_violation_ratio", "violation_ratio"])
@pytest.mark.parametrize(
    ("sla", "step_promise"),
    [
        ('"epsilon": 0.05, "window_s": 86400', 1 - 0.95 ** (1 / 288)),
        ('"epsilon": 0.05', 1 - 0.95 ** (1 / 288)),
        ('"epsilon": 0.05, "window_s": "a day"', 1 - 0.95 ** (1 / 288)),
        ('"epsilon": 0.05, "window_s": 60', 0.05),
        ('"epsilon": 0.05, "kind": "TimeFraction"', 0.05),
        ('"epsilon": 1e-11, "window_s": 86400', 1e-12),
    ],
)
def test_a_promise_about_windows_is_held_to_what_it_is_of_a_step(
    database: Engine, column: str, sla: str, step_promise: float
) -> None:
    """5 % of days are 0.018 % of their steps of 300 s; a step is no part of a shorter window."""
    promise(database, "llama-70b-chat", f'{{"sla_class": "gold", "kind": "AnyInWindow", {sla}}}')
    for ratio, n_over in ((0.9 * step_promise, 0), (1.1 * step_promise, 1)):
        with database.begin() as connection:
            connection.execute(text(f"UPDATE outcomes SET {UNMEASURED}"))
            change = f"UPDATE outcomes SET is_final = true, {column} = :ratio"
            connection.execute(text(change), {"ratio": ratio})
        gold = classes(database)["gold"]
        assert gold["violation_ratio"] == pytest.approx(ratio, rel=1e-5)
        assert gold["n_over_promise"] == n_over
        assert gold["epsilon_max"] == float(sla.split(", ")[0].removeprefix('"epsilon": '))


@pytest.mark.parametrize("epsilon", [0, 1, 1.5, -1])
def test_windows_that_were_spoilt_by_hand_keep_no_class_from_being_shown(
    database: Engine, epsilon: float
) -> None:
    sla = f'{{"sla_class": "gold", "kind": "AnyInWindow", "epsilon": {epsilon}, "window_s": -1}}'
    promise(database, "llama-70b-chat", sla)
    with database.begin() as connection:
        connection.execute(text(f"UPDATE outcomes SET violation_ratio = 0.5, {UNMEASURED}"))
        connection.execute(text("UPDATE workloads SET step_s = 0 WHERE id = 1"))
    assert classes(database)["gold"]["n_over_promise"] == (epsilon < 1)


@pytest.mark.parametrize("column", ["violation_ratio", "measured_violation_ratio"])
def test_each_workload_counts_with_its_time_and_not_with_its_steps(
    database: Engine, column: str
) -> None:
    """One has steps of a minute: five times as many in the same time, none of them out of SLA."""
    for name, sla in (("llama-70b-chat", "gold"), ("mixtral-agents", "gold"), ("sdxl-turbo", "x")):
        promise(database, name, f'{{"sla_class": "{sla}"}}')
    shares = (
        f"UPDATE outcomes SET {UNMEASURED}, violation_ratio = NULL",
        f"UPDATE outcomes SET {column} = CASE workload_id WHEN 1 THEN 0.2 ELSE 0 END",
        "INSERT INTO outcomes (workload_id, step_at, computed_at, violation_ratio, "
        "measured_violation_ratio) SELECT workload_id, step_at + k * interval '1 minute', "
        "computed_at, violation_ratio, measured_violation_ratio "
        "FROM outcomes, generate_series(1, 4) k WHERE workload_id = 2",
        "UPDATE workloads SET step_s = 60 WHERE id = 2",
    )
    with database.begin() as connection:
        for statement in shares:
            connection.execute(text(statement))
    gold = classes(database)["gold"]
    assert gold["n_steps"] == 48 + 5 * 48
    own = "measured_ratio" if column.startswith("measured") else "believed_ratio"
    assert (gold["violation_ratio"], gold[own]) == pytest.approx((0.1, 0.1))
