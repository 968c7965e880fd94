"""A workload's page: pause, resume, and what is not known."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.console_visitor import OWN, audited, person

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_a_workload_is_paused_until_a_time_and_resumed(deps: AdminDeps, database: Engine) -> None:
    with person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        form = {"direction": "ScaleIn", "lasting": "3600", "reason": "load <test>"}
        answer = human.send(f"{OWN}/pause", form)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{OWN}?done=paused")
        page = human.get(answer.headers["location"]).text
        for words in (
            "Scale-in is held: it may grow, not shrink",
            "until 6 Jan 13:00 UTC",
            "load &lt;test&gt;",
            "Not in force yet",
        ):
            assert words in page, words
        until = human.send(
            f"{OWN}/pause",
            {"direction": "Both", "lasting": "until", "until_at": "2026-01-07T08:30"},
        )
        assert until.status_code == 303
        assert "until 7 Jan 08:30 UTC" in human.get(OWN).text
        assert human.send(f"{OWN}/pause", {"direction": "Both", "lasting": ""}).status_code == 303
        assert "until resumed" in human.get(OWN).text
        assert human.send(f"{OWN}/resume").headers["location"] == f"{OWN}?done=resumed"
        assert "Scaling is paused" not in human.get(OWN).text
    assert [action for _, action, _ in audited(database)] == ["pause.set"] * 3 + ["pause.lift"]


def test_a_last_value_that_was_not_known_is_a_dash(deps: AdminDeps, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text("UPDATE forecast_scores SET crps_last_value = NULL, skill_vs_last_value = NULL")
        )
    with person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        page = human.get(OWN).text
    assert "No comparison with the last value yet: CRPS 0.08, and – for repeating it." in page


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"lasting": "until", "until_at": "soon"}, "must be a time in UTC"),
        ({"lasting": "until", "until_at": "2026-01-05T08:30"}, "must be after now"),
        ({"lasting": "-5"}, "must be a number of seconds"),
        ({"lasting": "9" * 30}, "must be a number of seconds"),
        ({"direction": "Sideways"}, "direction"),
    ],
)
def test_a_pause_that_makes_no_sense_stays_on_the_page(
    deps: AdminDeps, database: Engine, form: dict[str, str], words: str
) -> None:
    with person(deps, Role.OPERATOR) as human:
        answer = human.send(f"{OWN}/pause", form)
        assert answer.status_code == 422
        assert words in answer.text
        assert "Forecast against demand" in answer.text
    assert audited(database) == []


def test_a_freeze_that_lasts_longer_than_the_pause_says_until_when(
    deps: AdminDeps, admin: AppClient
) -> None:
    """The page said that scaling goes on at the end of the pause."""
    body = {"until_at": "2026-01-07T08:30:00Z", "namespace": "llm-prod", "reason": "holiday"}
    number = admin.post("/v1/freezes", json=body).json()["id"]
    with person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        assert human.send(f"{OWN}/pause", {"direction": "Both", "lasting": "3600"}).is_redirect
        page = human.get(OWN).text
    assert "<strong>Scaling is paused</strong> until 7 Jan 08:30 UTC." in page
    assert "The pause that was made here ends 6 Jan 13:00 UTC." in page
    assert f"Scaling is held until 7 Jan 08:30 UTC by change freeze {number} “holiday”." in page
