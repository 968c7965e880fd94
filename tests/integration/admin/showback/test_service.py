"""The use case alone: its window, and what teams may be by."""

from __future__ import annotations

from csv import DictReader
from datetime import timedelta
from decimal import Decimal, localcontext
from io import StringIO

import pytest
from sqlalchemy import Engine, text

from services.admin.deps import AdminDeps
from services.admin.showback.service import (
    MAX_WINDOW,
    ShowbackQuery,
    get_showback,
    get_showback_csv,
    label_of,
)
from services.kernel.errors import InvalidInput
from tests.integration.admin.showback.costs import FROM, STEP, TO, seed_teams

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


def test_months_add_up_in_json_and_csv_alike(deps: AdminDeps, database: Engine) -> None:
    """The window that ends where the next one begins does not count that step twice."""
    seed_teams(database)
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET step_s = 60"))
    middle = FROM + 10 * STEP
    asked = [ShowbackQuery("namespace", a, b, {}) for a, b in ((FROM, middle), (middle, TO))]
    first, second = (get_showback(deps, query) for query in asked)
    whole = get_showback(deps, ShowbackQuery("namespace", FROM, TO, {}))
    assert (first.cost_usd or 0) + (second.cost_usd or 0) == pytest.approx(whole.cost_usd)
    assert whole.unmeasured_hours == pytest.approx(2.75, abs=1e-6)
    assert first.unmeasured_hours + second.unmeasured_hours == pytest.approx(2.75, abs=1e-6)
    with database.connect() as connection:
        query = text("SELECT sum(cost_usd::numeric), sum(gpu_hours::numeric) FROM outcomes")
        stored = tuple(connection.execute(query).one())
    lines = [row for each in asked for row in DictReader(StringIO(get_showback_csv(deps, each)))]
    with localcontext(prec=60):
        for name, known in zip(("cost_usd", "gpu_hours"), stored, strict=True):
            assert sum(Decimal(row[name]) for row in lines) == known


def test_a_quarter_is_the_most(deps: AdminDeps) -> None:
    get_showback(deps, ShowbackQuery("namespace", TO - MAX_WINDOW, TO, {}))
    longer = TO - MAX_WINDOW - timedelta(days=1)
    with pytest.raises(InvalidInput, match="ask for at most 93"):
        get_showback(deps, ShowbackQuery("namespace", longer, TO, {}))
