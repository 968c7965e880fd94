"""Use cases about GPU budgets."""

from __future__ import annotations

from datetime import timedelta

from services.admin.budgets import repository
from services.admin.budgets.schemas import BudgetView
from services.admin.budgets.translate import BudgetRows, to_budget
from services.admin.deps import AdminDeps
from services.admin.rest.cursors import decode_cursor, encode_cursor
from services.admin.rest.schemas import Page
from services.kernel.errors import NotFound
from services.kernel.server_clock import shared_now

N_NAMED, N_NAMED_OF_ONE = 10, 500
"""Workloads that are named at most, in the list and for one budget."""


Visible = frozenset[str] | None
"""Namespaces whose workloads are named; None: all."""


def list_budgets(deps: AdminDeps, visible: Visible = None) -> list[BudgetView]:
    """All budgets, by GPU type."""
    return _views(deps, None, N_NAMED, visible)


def page_budgets(
    deps: AdminDeps, visible: Visible, limit: int, cursor: str | None
) -> Page[BudgetView]:
    """Budgets by GPU type, page by page; there are as many as GPU types, so all are loaded."""
    after = tuple(decode_cursor(cursor, (str, str))) if cursor else ("", "")
    found = sorted(list_budgets(deps, visible), key=_place)
    rest = [view for view in found if _place(view) > after]
    following = encode_cursor(*_place(rest[limit - 1])) if len(rest) > limit else None
    return Page[BudgetView](items=rest[:limit], next_cursor=following)


def _place(view: BudgetView) -> tuple[str, str]:
    return view.gpu_type, view.cluster


def get_budget(deps: AdminDeps, gpu_type: str, visible: Visible = None) -> BudgetView:
    """One budget.

    Raises:
        NotFound: The type has no budget of its own.
    """
    found = _views(deps, gpu_type, N_NAMED_OF_ONE, visible)
    if not found:
        raise NotFound(
            f"GPU type {gpu_type!r} has no budget; GET /v1/budgets lists those there are"
        )
    return found[0]


def _views(
    deps: AdminDeps, gpu_type: str | None, n_named: int, visible: Visible
) -> list[BudgetView]:
    found = (_views_of_one(each, gpu_type, n_named, visible) for each in deps.by_cluster())
    return [view for views in found for view in views]


def _views_of_one(
    deps: AdminDeps, gpu_type: str | None, n_named: int, visible: Visible
) -> list[BudgetView]:
    settings = deps.settings
    with deps.reading() as connection:
        now = shared_now(connection, deps.clock)
        budgets = repository.load_budgets(connection, gpu_type)
        if not budgets:
            return []
        oldest = now - timedelta(seconds=settings.step_s) * settings.stale_after_steps
        usage = repository.load_usage(connection, now, gpu_type)
        prices = repository.load_prices(connection, now, gpu_type)
        supplies = repository.load_supplies(connection)
        headroom = repository.load_headroom(connection)
        given_up = repository.load_given_up(connection, now, n_named, gpu_type, visible)
        counted = given_up
        if visible is not None:  # sums are of the whole fleet all the same
            counted = list(repository.load_n_cut(connection, now, gpu_type).values())
    n_cut = {row["budget"]: int(row["n_cut"]) for row in counted}
    views = []
    for budget in budgets:
        name = budget["gpu_type"]
        cut = [row for row in given_up if row["budget"] == name]
        supply, ready = supplies.get(name), headroom.get(name)
        use, price, n = usage.get(name), prices.get(name), n_cut.get(name, 0)
        rows = BudgetRows(budget, use, price, cut, n, supply, ready)
        views.append(to_budget(rows, oldest, deps.cluster))
    return views
