"""Services with pools under GPU budgets: holdings and claims of each type."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from services.decision.budgets import repository
from services.decision.budgets.part_budgets import part_holdings
from services.decision.decide.replay import replay
from services.kernel.settings import Settings
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.budgets.test_repository import announce
from tests.integration.decision.pool_rows import add_loads, add_service
from tests.integration.decision.stored_rows import NOW
from tests.integration.decision.variant_rows import observe, seen, variants_of


class SplitFleet(Fleet):
    """A fleet with services of two pools."""

    def add_split(self, prefill: int, decode: int) -> int:
        """45 requests/s for five prefill replicas of two H100, 2000 tokens/s for ten of an A100."""
        found = add_service(self.engine)
        observe(self.engine, found, NOW, prefill=seen(prefill), decode=seen(decode))
        self.n_forecasts += 1
        add_loads(self.engine, found, 45.0, 2000.0, forecast_id=self.n_forecasts)
        return found


@pytest.fixture
def split_fleet(database: Engine, settings: Settings) -> SplitFleet:
    return SplitFleet(database, settings)


def test_a_budget_of_one_type_holds_that_pool_and_says_so(split_fleet: SplitFleet) -> None:
    fleet = split_fleet
    split = fleet.add_split(prefill=6, decode=6)
    fleet.budget(8, "A100")
    row = fleet.decide(0)[split]
    assert variants_of(row)["decode"] == 8
    assert row["explanation"]["gpu_budget"]["gpu_type"] == "A100"
    (cut,) = row["explanation"]["gpu_budget"]["gave_up"]
    assert (cut["workload"], cut["granted"]) == ("demo/llama/decode", 8)
    assert replay(fleet.deps, row["id"]).is_identical
    with fleet.engine.connect() as connection:
        claims = connection.execute(text("SELECT * FROM variant_claims")).mappings().all()
        assert connection.execute(text("SELECT count(*) FROM gpu_claims")).scalar_one() == 0
    assert [claim["gpu_type"] for claim in claims] == ["A100"]
    assert claims[0]["demand_gpus"][0] > 8


def test_gpus_of_a_pool_count_for_other_workloads(split_fleet: SplitFleet) -> None:
    """Six prefill replicas hold twelve of 14 H100: two are left for who asks for ten."""
    fleet = split_fleet
    split = fleet.add_split(prefill=6, decode=12)
    fleet.budget(14, "H100")
    held = 2 * variants_of(fleet.decide(0)[split])["prefill"]
    plain = fleet.add("plain", 1, 1, 90.0)
    granted = fleet.decide(1)[plain]["desired_replicas"]
    assert 1 <= granted <= max(1, 14 - held)


def test_a_scaling_of_a_pool_whose_outcome_is_open_holds_what_it_asks_for(
    split_fleet: SplitFleet,
) -> None:
    fleet = split_fleet
    split = fleet.add_split(prefill=6, decode=6)
    now, version = fleet.clock.now(), fleet.deps.settings.policy_version
    with fleet.engine.begin() as connection:
        announce(connection, split, now, '[{"name": "prefill", "from": 6, "to": 9}]')
        (row,) = repository.load_part_holdings(connection, ["H100", "A100"], version, now)
    found = part_holdings(row, ["H100", "A100"], fleet.deps.settings, now)
    held = {key[1]: holding.held_replicas for key, holding in found.items()}
    assert held == {"H100": 9 * 2, "A100": 6}


SPOILT: list[dict[str, object]] = [
    {"demand": "none such", "capacity": 5},
    {"pools": "two"},
    {"variants": {"a": 1}, "gpus_per_replica": "two", "min_replicas": -1.5},
]


@pytest.mark.parametrize("changes", SPOILT)
def test_a_spec_that_was_spoilt_by_hand_keeps_nobody_from_a_decision(
    split_fleet: SplitFleet, changes: dict[str, object]
) -> None:
    fleet = split_fleet
    split = fleet.add_split(prefill=6, decode=6)
    plain = fleet.add("plain", 1, 1, 90.0)
    fleet.budget(14, "H100")
    spoil = text("UPDATE workloads SET spec = spec || :changes WHERE id = :id")
    with fleet.engine.begin() as connection:
        given = {"changes": changes, "id": split}
        connection.execute(spoil.bindparams(bindparam("changes", type_=JSONB)), given)
    # what can still be told of its targets is held: twelve H100
    assert fleet.decide(1)[plain]["desired_replicas"] == 2
