"""The use case alone: its window, and what teams may be by."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from services.admin.deps import AdminDeps
from services.admin.showback.service import (
    MAX_WINDOW,
    ShowbackQuery,
    get_showback,
    get_showback_csv,
    label_of,
)
from services.kernel.errors import InvalidInput
from tests.integration.admin.showback.costs import FROM, TO, seed_teams

pytestmark = pytest.mark.integration


def test_a_team_is_a_namespace_or_a_value_of_a_label() -> None:
    assert label_of("namespace") is None
    assert label_of("label=team") == "team"
    assert label_of("label=app.kubernetes.io/part-of") == "app.kubernetes.io/part-of"
    for wrong in ("", "label", "label=", "namespace=", "labels=team", "label=\x00"):
        with pytest.raises(InvalidInput, match="must be namespace, or label=NAME"):
            label_of(wrong)


def test_rows_add_up_to_the_total_and_the_csv_is_the_same_rows(
    deps: AdminDeps, database: Engine
) -> None:
    seed_teams(database)
    query = ShowbackQuery("label=team", FROM, TO, {})
    found = get_showback(deps, query)
    assert found.cost_usd == pytest.approx(sum(team.cost_usd or 0.0 for team in found.teams))
    lines = get_showback_csv(deps, query).splitlines()
    assert len(lines) == 1 + len(found.teams)
    assert lines[-1] == "(no label),1,9.999999999999996,30.0,1.000000"


def test_a_quarter_is_the_most(deps: AdminDeps) -> None:
    get_showback(deps, ShowbackQuery("namespace", TO - MAX_WINDOW, TO, {}))
    longer = TO - MAX_WINDOW - timedelta(days=1)
    with pytest.raises(InvalidInput, match="ask for at most 93"):
        get_showback(deps, ShowbackQuery("namespace", longer, TO, {}))
