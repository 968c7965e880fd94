"""Costs asked by hand: the same figures as the use cases give, up to the time of the data."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from services.advisory.service import AdvisoryQuery
from services.kernel.clock import FixedClock
from services.kernel.errors import InvalidInput, NotFound
from services.kernel.settings import Settings
from services.platform import costs
from tests.integration.admin.showback.costs import FROM, TO, seed_teams
from tests.integration.advisory.watched import SINCE, add_decided, add_ran, add_watched
from tests.integration.decision.stored_rows import NOW

pytestmark = pytest.mark.integration


@pytest.fixture
def at_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "make_clock", lambda _mode, _url: FixedClock(NOW))


@pytest.mark.usefixtures("at_now")
def test_the_report_is_of_the_time_up_to_now(settings: Settings, database: Engine) -> None:
    workload = add_watched(database, "chat")
    add_ran(database, workload, 4, [2] * 24)
    add_decided(database, workload, [2] * 24)
    found = costs.advise(settings, AdvisoryQuery(SINCE))
    assert found.fleet is not None
    assert (found.to_at, found.fleet.today_usd) == (NOW, pytest.approx(48.0))
    assert found.fleet.harmony_usd.value == pytest.approx(24.0)
    with pytest.raises(NotFound, match="gone"):
        costs.advise(settings, AdvisoryQuery(SINCE, name="gone"))


@pytest.mark.usefixtures("at_now")
def test_dollars_per_team_are_of_the_time_up_to_now(settings: Settings, database: Engine) -> None:
    seed_teams(database)
    found, lines = costs.showback(settings, "label=team", NOW - FROM, "")
    assert (found.from_at, found.to_at) == (FROM, NOW)
    assert [team.team for team in found.teams] == ["chat", "search", None]
    assert lines.count("\n") == 4
    narrowed, _ = costs.showback(settings, "namespace", NOW - FROM, "lab")
    assert [team.team for team in narrowed.teams] == ["lab"]
    nothing, _ = costs.showback(settings, "namespace", NOW - TO - timedelta(seconds=1), "")
    assert nothing.cost_usd is None
    with pytest.raises(InvalidInput, match="label=NAME"):
        costs.showback(settings, "team", SINCE, "")
