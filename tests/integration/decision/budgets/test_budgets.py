"""GPU budgets over several shards on a real Postgres: never exceeded, never unlimited."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from decider import PRICES
from services.kernel.telemetry import REGISTRY
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.variant_rows import H100, L4, observe, seen, variants_of

pytestmark = pytest.mark.integration


def gold(name: str = "gold", priority: int | None = None) -> dict[str, Any]:
    return {"sla": {"epsilon": 0.01, "sla_class": name, "priority": priority}}


def test_a_type_without_a_budget_row_has_no_budget(fleet: Fleet) -> None:
    w = fleet.add("w", 0, 10, 150.0)
    fleet.budget(1, "L4")
    row = fleet.decide(0)[w]
    assert row["desired_replicas"] >= 15
    assert "gpu_budget" not in row["explanation"]


def test_a_shard_gets_what_the_others_do_not_hold(fleet: Fleet) -> None:
    a = fleet.add("a", 0, 10, 150.0)
    fleet.add("b", 1, 12, 115.0)
    fleet.budget(25)
    row = fleet.decide(0)[a]
    assert row["desired_replicas"] == 13
    assert (row["reason"], row["binding_constraint"]) == ("scale_up_risk", "gpu_budget")
    stored = row["explanation"]["gpu_budget"]
    assert (stored["gpus"], stored["held_elsewhere_gpus"]) == (25, 12)
    wanted = row["explanation"]["guard_trace"][-1]["before"]
    assert stored["gave_up"] == [
        {"workload": "demo/a", "class": "silver", "priority": 100, "wanted": wanted,
         "granted": 13, "gpus": wanted - 13}
    ]  # fmt: skip
    assert row["explanation"]["fleet"]["shadow_price_usd_per_gpu_hour"] > 0
    assert (stored["is_feasible"], stored["price_usd_per_gpu_hour"] in PRICES) == (True, True)
    assert stored["price_usd_per_gpu_hour"] > 0
    labels = {"cluster": "default", "gpu_type": "H100"}
    shown = REGISTRY.get_sample_value("harmony_gpu_budget_price_usd", labels)
    assert shown == stored["price_usd_per_gpu_hour"]
    assert REGISTRY.get_sample_value("harmony_gpu_budget_gpus", labels) == 25
    assert "25 GPUs, 13 of them for these, are shared at" in str(row["explanation"])


def test_a_minimum_beyond_one_types_budget_takes_nothing_from_another(fleet: Fleet) -> None:
    """An L4 service must have four and two are there; a service on either joins the two types."""
    services = [fleet.add(f"gold-{i}", 0, 10, 80.0, **gold()) for i in range(3)]
    mix = fleet.add("mix", 0, 4, 40.0, variants=[H100, L4])
    with fleet.engine.begin() as connection:
        connection.execute(text("DELETE FROM replica_states WHERE workload_id = :w"), {"w": mix})
    observe(fleet.engine, mix, fleet.clock.now(), h100=seen(4), l4=seen(0))
    small = fleet.add("small", 0, 1, 8.0, gpu_type="L4", min_replicas=4)
    fleet.budget(1000)
    fleet.budget(2, "L4")
    found = fleet.decide(0)
    assert all(found[w]["desired_replicas"] >= 9 for w in services)
    assert variants_of(found[mix])["h100"] >= 4
    assert variants_of(found[mix])["l4"] == 0
    assert found[small]["desired_replicas"] == 4


@pytest.mark.parametrize("shard", [0, 1], ids=["decided with it", "in another shard"])
@pytest.mark.parametrize("is_reported", [True, False])
def test_what_a_key_of_one_namespace_says_takes_nothing_from_the_others(
    fleet: Fleet, shard: int, is_reported: bool
) -> None:
    """64,000 GPUs of a workload that was made over REST, reported or as its minimum, of 25."""
    own = fleet.add("own", 0, 10, 150.0, **gold())
    least = {} if is_reported else {"min_replicas": 1000, "max_replicas": 1000}
    told = {"target": "External/told", "mode": "Advisory", "gpus_per_replica": 64} | least
    other = fleet.add("told", shard, 1000, 5.0, **told)
    with fleet.engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET managed_by = 'api' WHERE id = :id"), {"id": other}
        )
        if not is_reported:
            connection.execute(
                text("DELETE FROM replica_states WHERE workload_id = :id"), {"id": other}
            )
    fleet.budget(25)
    found = fleet.decide(*{0, shard})
    assert found[own]["desired_replicas"] >= 15
    stored = found[own]["explanation"]["gpu_budget"]
    assert (stored["held_elsewhere_gpus"], stored["is_feasible"]) == (0, True)
    assert "gpu_budget" not in found[other]["explanation"]  # nor is its advice cut


def test_a_grant_counts_before_it_is_applied(fleet: Fleet) -> None:
    a = fleet.add("a", 0, 10, 120.0)
    b = fleet.add("b", 1, 10, 150.0)
    fleet.budget(25)
    first = fleet.decide(0)[a]["desired_replicas"]
    assert first > 10
    assert fleet.decide(1)[b]["desired_replicas"] == 25 - first


def test_gold_in_one_shard_gets_what_bronze_in_another_gives_up(fleet: Fleet) -> None:
    """Gold needs about 16 and has 6; bronze has 18 of the 24. It takes a step to come down."""
    g = fleet.add("g", 0, 6, 150.0, **gold())
    b = fleet.add("b", 1, 18, 150.0, **gold("bronze"))
    fleet.budget(24)
    held = []
    for _ in range(4):
        found = fleet.decide(0, 1)
        held.append((found[g]["desired_replicas"], found[b]["desired_replicas"]))
        assert sum(held[-1]) <= 24
        fleet.step()
    assert held[0][0] == 6  # nothing was free yet, and nobody had said what it would take
    assert held[-1][0] >= 15
    assert held[-1][1] >= 1
    cut = next(d for d in _all(fleet.engine, b) if d["reason"] == "scale_down_gpu_budget")
    assert cut["explanation"]["gpu_budget"]["gave_up"][0]["class"] == "bronze"


@pytest.mark.parametrize(("first", "second"), [(800, 50), (50, 800), (None, None)])
def test_the_priority_decides_who_gives_up_whatever_the_name(
    fleet: Fleet, first: int | None, second: int | None
) -> None:
    """Two equal workloads that want about 16 each, with GPUs for 20, named against their worth."""
    a = fleet.add("a", 0, 2, 150.0, **gold("bronze", first))
    b = fleet.add("b", 0, 2, 150.0, **gold("gold", second))
    fleet.budget(20)
    found = fleet.decide(0)
    granted = {w: found[w]["desired_replicas"] for w in (a, b)}
    assert sum(granted.values()) == 20
    favoured = a if (first or 0) > (second or 0) else b
    assert granted[favoured] == max(granted.values()) >= 15
    (cut, *_) = found[a]["explanation"]["gpu_budget"]["gave_up"]
    assert cut["workload"] == ("demo/b" if favoured == a else "demo/a")
    assert cut["priority"] == 50


def _all(engine: Engine, workload: int) -> list[Any]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT * FROM decisions WHERE workload_id = :id ORDER BY id"), {"id": workload}
        )
        return list(rows.mappings())


def test_a_shrunken_budget_brings_every_shard_down_to_its_part(fleet: Fleet) -> None:
    workloads = [fleet.add(f"w{n}", n, 15, 140.0) for n in range(3)]
    fleet.budget(30)
    for _ in range(4):
        found = fleet.decide(0, 1, 2)
        assert all(found[w]["desired_replicas"] <= 15 for w in workloads)
        fleet.step()
        fleet.budget(30)
    held = [fleet.decisions()[w]["desired_replicas"] for w in workloads]
    assert sum(held) <= 30
    assert sum(held) >= 15  # far from the minima


@pytest.mark.parametrize(
    ("gpus", "gpu_type", "age_s"),
    [(None, "H100", 0.0), (100, "H100", 3600.0), (None, "*", 0.0)],
    ids=["unreadable", "stale", "not listed"],
)
def test_a_budget_that_could_not_be_read_allows_no_increase(
    fleet: Fleet, gpus: int | None, gpu_type: str, age_s: float
) -> None:
    up = fleet.add("up", 0, 10, 150.0)
    down = fleet.add("down", 0, 30, 100.0)
    fleet.budget(gpus, gpu_type, age_s)
    found = fleet.decide(0)
    assert found[up]["desired_replicas"] == 10
    assert found[up]["reason"] == "hold_budget_unreadable"
    assert found[down]["desired_replicas"] < 30


def test_the_price_is_absent_where_it_is_unknown_and_where_none_would_do(fleet: Fleet) -> None:
    w = fleet.add("w", 0, 10, 150.0, min_replicas=8)
    stored = {}
    for gpus in (None, 6):
        fleet.budget(gpus)
        stored[gpus] = fleet.decide(0)[w]["explanation"]["gpu_budget"]
        fleet.step()
    assert (stored[None]["price_usd_per_gpu_hour"], stored[None]["is_feasible"]) == (None, None)
    assert (stored[6]["price_usd_per_gpu_hour"], stored[6]["is_feasible"]) == (None, False)


def test_a_type_with_a_row_of_its_own_is_not_unknown(fleet: Fleet) -> None:
    w = fleet.add("w", 0, 10, 150.0)
    fleet.budget(None, "*")
    fleet.budget(12)
    assert fleet.decide(0)[w]["desired_replicas"] == 12


def test_what_is_advised_is_held_as_it_is(fleet: Fleet) -> None:
    """Advice is not applied, so a workload in mode Auto counts what the other one runs."""
    auto = fleet.add("auto", 0, 10, 150.0)
    advised = fleet.add("advised", 1, 10, 150.0, mode="Advisory")
    fleet.budget(30)
    found = fleet.decide(1, 0)
    assert found[advised]["desired_replicas"] > 10
    assert found[auto]["desired_replicas"] >= 15


@pytest.mark.parametrize("shards", [(0, 0), (0, 1)])
def test_a_wish_that_nobody_approves_holds_nothing(fleet: Fleet, shards: tuple[int, int]) -> None:
    """Whichever shard decides first, and for as long as nobody answers."""
    wish = fleet.add("wish", shards[0], 2, 130.0, mode="Approval")
    gold = fleet.add("gold", shards[1], 2, 130.0, sla={"sla_class": "gold"})
    fleet.budget(20)
    for _ in range(3):
        found = fleet.decide(*sorted(set(shards)))
        assert found[gold]["desired_replicas"] >= 14
        fleet.step()
        fleet.clock.advance(1)
        fleet.observe(wish, 2)  # it was not applied
        fleet.budget(20)
    assert found[wish]["raw_replicas"] >= 14, "it is still wanted"
    assert 2 < found[wish]["desired_replicas"] <= 20 - found[gold]["desired_replicas"]


def test_groups_of_a_shard_share_what_is_left(fleet: Fleet) -> None:
    """Forecasts of two shapes are decided one after the other, under one budget."""
    a = fleet.add("a", 0, 10, 150.0)
    b = fleet.add("b", 0, 10, 150.0)
    with fleet.engine.begin() as connection:  # b's paths are gone: its quantiles stand in
        connection.execute(
            text("UPDATE forecasts SET paths = NULL, n_paths = 0, n_horizon = 6 "
                 "WHERE workload_id = :id"), {"id": b},
        )  # fmt: skip
        connection.execute(
            text("UPDATE forecasts SET paths = substring(paths FOR 600), n_paths = 50 "
                 "WHERE workload_id = :id"), {"id": a},
        )  # fmt: skip
    fleet.budget(26)
    found = fleet.decide(0)
    assert sum(found[w]["desired_replicas"] for w in (a, b)) == 26
    assert min(found[w]["desired_replicas"] for w in (a, b)) >= 10
