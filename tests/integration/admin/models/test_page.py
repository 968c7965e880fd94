"""The models' page."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, insert, update

from services.admin.deps import AdminDeps
from services.kernel.db import schema
from services.kernel.security.keys import Role
from tests.integration.admin.console_forms import hidden
from tests.integration.admin.console_visitor import audited, person
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_models_show_their_back_tests_and_change_hands(deps: AdminDeps, database: Engine) -> None:
    blank = {"kind": "flow", "config": {}, "artifact": b"x"}
    metrics = {
        "backtest_crps": 0.07,
        "backtest_crps_best_simple": 0.1,
        "backtest_skill": 0.3,
        "ratios": {"a": 0.7, "b": 0.98, "c": 1.0, "not finite": None},
    }
    made = {
        "version": "harmony-flow-4",
        "status": "shadow",
        "reason": "back-test skill +0.300",
        "metrics": metrics,
        "created_at": NOW - timedelta(hours=1),
    }
    with database.begin() as connection:
        connection.execute(update(schema.models).values(artifact=b"x"))
        connection.execute(insert(schema.models).values(blank | made))
    with person(deps, Role.ADMIN) as human:
        page = human.get("/models").text
        for words in (
            "<strong>harmony-flow-3</strong> answers",
            "2 of 3",
            ">30 %<",
            "back-test skill +0.300",
        ):
            assert words in page, words
        done = human.send("/models/harmony-flow-4/promote", {"reason": "new tenant"})
        assert done.headers["location"] == "/models?done=promoted"
        page = human.get(done.headers["location"]).text
        assert "<strong>harmony-flow-4</strong> answers" in page
        assert "new tenant" in page
        twice = human.send("/models/harmony-flow-4/promote")
        assert (twice.status_code, "is promoted" in twice.text) == (409, True)
        assert human.send("/models/roll-back").status_code == 303
        assert human.send("/models/none/shadow").status_code == 404
        assert human.send("/models/train").headers["location"] == "/models?done=training"
        assert "Training queued" in human.get("/models").text
        again = human.send("/models/train")
        assert (again.status_code, "at most 1" in again.text) == (409, True)
    assert [action for _, action, _ in audited(database)] == [
        "model.promote",
        "model.roll_back",
        "train_model.submit",
    ]


def test_a_double_click_does_not_roll_back_to_the_model_that_was_left(
    deps: AdminDeps, database: Engine
) -> None:
    blank = {"kind": "flow", "config": {}, "artifact": b"x", "metrics": {}, "reason": ""}
    older = {"version": "older", "status": "retired", "created_at": NOW, "retired_at": NOW}
    with database.begin() as connection:
        connection.execute(update(schema.models).values(artifact=b"x"))
        connection.execute(insert(schema.models).values(blank | older))
    with person(deps, Role.ADMIN) as human:
        form = {"serving": hidden(human.get("/models").text, "serving")}
        assert form == {"serving": "harmony-flow-3"}
        assert human.send("/models/roll-back", form).status_code == 303
        again = human.send("/models/roll-back", form)
        assert again.status_code == 409
        assert "does not serve any more" in again.text
        assert "<strong>older</strong> answers" in again.text
    assert [action for _, action, _ in audited(database)] == ["model.roll_back"]


@pytest.mark.parametrize(
    ("has_prior", "words"),
    [(True, "the prior answers"), (False, "the best simple forecasters answer")],
)
def test_where_no_model_serves_the_page_says_what_does(
    deps: AdminDeps, database: Engine, has_prior: bool, words: str
) -> None:
    """It named the simple forecasters, which answer no more where there is a prior."""
    with database.begin() as connection:
        connection.execute(update(schema.models).values(status="retired", retired_at=NOW))
    own = replace(deps, settings=deps.settings.model_copy(update={"has_prior": has_prior}))
    with person(own, Role.ADMIN) as human:
        assert f"No model serves: {words}." in human.get("/models").text
        assert "the prior answers, or where" in human.get("/models?done=shadowed").text
