"""Use case of cells: what each cluster runs, may use, and would pay for one GPU more."""

from __future__ import annotations

from sqlalchemy import RowMapping

from services.admin.budgets.repository import load_budgets, load_prices
from services.admin.cells import repository
from services.admin.cells.schemas import CellView, PeersView, SharesView
from services.admin.cells.translate import CellRows, to_cell, to_peer, to_shares
from services.admin.deps import AdminDeps
from services.admin.rest.cursors import decode_cursor, encode_cursor
from services.admin.rest.schemas import Page
from services.kernel.db.clusters import load_clusters, load_identity
from services.kernel.security.keys import Principal
from services.kernel.security.peers import CELLS_PATH
from services.kernel.server_clock import shared_now


def list_cells(deps: AdminDeps) -> list[CellView]:
    """The cells that the request sees, the oldest first."""
    with deps.engine.connect() as connection:
        clusters = {each.name: each for each in load_clusters(connection)}
    return [
        to_cell(_rows(each, clusters[each.cluster].id), clusters[each.cluster])
        for each in deps.by_cluster()
        if each.cluster in clusters
    ]


def page_cells(deps: AdminDeps, limit: int, cursor: str | None) -> Page[CellView]:
    """Cells page by page, the oldest first."""
    after = decode_cursor(cursor, (str,))[0] if cursor else ""
    found = list_cells(deps)
    start = next((i + 1 for i, each in enumerate(found) if each.cluster == after), 0)
    rest = found[start:]
    following = encode_cursor(rest[limit - 1].cluster) if len(rest) > limit else None
    return Page[CellView](items=rest[:limit], next_cursor=following)


def shares(deps: AdminDeps) -> SharesView:
    """What other databases read of this one: all of one moment, so that counts fit each other."""
    with deps.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        me = load_identity(connection)
        totals = repository.load_totals(connection)
        ledgers = repository.load_ledgers(connection)
    return to_shares(me, totals, ledgers)


def list_peers(deps: AdminDeps, principal: Principal) -> PeersView:
    """Cells of other databases; none for a caller with rights in some cluster only."""
    if deps.peers is None or principal.clusters is not None:
        return PeersView(items=[])
    return PeersView(items=[to_peer(each) for each in deps.peers.read(CELLS_PATH)])


def _rows(deps: AdminDeps, cluster_id: int) -> CellRows:
    with deps.reading() as connection:
        now = shared_now(connection, deps.clock)
        decided: RowMapping = repository.load_decided(connection, now)
        used = repository.load_used(connection, now)
        budgets = {row["gpu_type"]: row for row in load_budgets(connection)}
        prices = load_prices(connection, now) if budgets else {}
        parts = repository.load_parts(connection, cluster_id)
    return CellRows(decided, used, budgets, prices, parts)
