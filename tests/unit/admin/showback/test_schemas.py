"""What is not known of a team's cost stays null."""

from __future__ import annotations

from datetime import UTC, datetime

from services.admin.showback.schemas import Showback, TeamCost


def test_an_unknown_cost_is_null_and_never_zero() -> None:
    at = datetime(2026, 1, 6, tzinfo=UTC)
    team = TeamCost(team=None, n_workloads=1, gpu_hours=None, cost_usd=None, unmeasured_hours=2.0)
    found = Showback(
        by="label=team",
        from_at=at,
        to_at=at,
        teams=[team],
        gpu_hours=None,
        cost_usd=None,
        unmeasured_hours=2.0,
    ).model_dump(mode="json")
    assert (found["cost_usd"], found["teams"][0]["team"]) == (None, None)
