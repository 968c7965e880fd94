"""`harmony capacity show` and `fit` on a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from decider import GroupLaw
from services.cli.application import app
from services.decision.beliefs import due
from services.decision.beliefs.misses import believed_responses
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from services.kernel.db.session import unit_of_work
from services.kernel.errors import Conflict, NotFound
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings, get_settings
from tests.integration.decision.group_rows import add_group_law
from tests.integration.decision.measured_loop import OBJECTIVE
from tests.integration.decision.measured_steps import add_measured_steps
from tests.integration.decision.stored_rows import TOKENS, add_workload, bound_by_tokens
from tests.integration.decision.views import members_of

pytestmark = pytest.mark.integration
SLA = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}


@pytest.fixture
def known(
    database: Engine, database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Three workloads: one learned, one with too few steps, one without an objective."""
    monkeypatch.setenv("HARMONY_DATABASE_URL", database_url)
    get_settings.cache_clear()
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    learned, few = (add_workload(database, name, sla=SLA) for name in ("learned", "few"))
    add_workload(database, "plain")
    last = now - timedelta(minutes=5)
    add_measured_steps(database, learned, 9.0, np.linspace(5.0, 10.0, 60), last)
    add_measured_steps(database, few, 9.0, np.full(2, 5.0), last)
    deps = DecisionDeps(database, FixedClock(now), settings, sender=RecordingSender())
    with unit_of_work(database, deps.sender) as work:
        believed_responses(work, settings, members_of(work.connection), now)
    yield
    get_settings.cache_clear()


def harmony(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["capacity", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def shown(*arguments: str) -> dict[str, dict[str, Any]]:
    return {row["workload"]: row for row in json.loads(harmony("show", "--json", *arguments))}


def test_it_shows_what_others_like_it_carry_until_there_are_steps(
    known: None, database: Engine
) -> None:
    with database.connect() as connection:
        few = next(m for m in members_of(connection).values() if m.name == "few")
    law = GroupLaw(np.array([np.log(0.7), np.log(12.0)]), np.diag([0.08**2, 0.3**2]))
    add_group_law(database, few, law)
    borrowed = "taken to carry 7 (6.322 to 7.75), by what 5 workloads like it were measured"
    assert borrowed in shown()["demo/few"]["note"]
    assert borrowed in " ".join(harmony("show").split())
    assert "workloads like it" not in shown()["demo/plain"]["note"]


def test_it_shows_what_was_learned_and_why_nothing_was(known: None) -> None:
    rows = shown()
    assert set(rows) == {"demo/learned", "demo/few", "demo/plain"}
    row = rows["demo/learned"]
    assert row["p10"] < row["p50"] < row["p90"]
    assert row["p50"] == pytest.approx(9.0, rel=0.05)
    assert (row["stated"], row["steps"], row["method"]) == (10.0, 60, "particles")
    assert row["floor"] < 0.02
    assert row["note"] == ""
    assert rows["demo/few"]["note"].startswith("2 measured steps")
    assert rows["demo/few"]["p50"] is None
    assert "sla.objective" in rows["demo/plain"]["note"]
    table = harmony("show", "--namespace", "demo")
    assert "demo/few: 2 measured steps" in table
    assert "particles" in table


def test_one_workload_may_be_asked_for(known: None) -> None:
    assert list(shown("few", "--namespace", "demo")) == ["demo/few"]
    assert list(shown("demo/few")) == ["demo/few"], "as other commands name it"
    with pytest.raises(NotFound, match="name=none"):
        harmony("show", "none")


def test_a_fit_is_made_here_unless_another_is_at_it(
    known: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def fit(_deps: DecisionDeps, is_scheduled: bool) -> bool:
        asked.append(is_scheduled)
        return len(asked) == 1

    monkeypatch.setattr(due, "fit_posteriors", fit)
    assert "demo/learned" in harmony("fit")
    with pytest.raises(Conflict, match="another process"):
        harmony("fit")
    assert asked == [False, False]


def test_of_several_loads_each_has_a_line(known: None, database: Engine) -> None:
    assert "sharing" not in harmony("show").splitlines()[2]
    add_workload(database, "bound", sla=SLA, **bound_by_tokens())
    loads = shown("bound")["demo/bound"]["loads"]
    assert [(one["indicator"], one["stated"]) for one in loads] == [
        ("request_rate_rps", 10.0),
        (TOKENS, 200.0),
    ]
    assert [one["bound_share"] for one in loads] == [None, None]
    assert shown()["demo/learned"]["loads"] == []
    assert "Loads of a replica, each alone" in harmony("show")
