"""Cells of other databases over REST, in the console, and by whom they are seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, text

from services.admin.cells.schemas import CellView
from services.admin.deps import AdminDeps
from services.kernel.clock import FixedClock
from services.kernel.db.clusters import set_total
from services.kernel.security.keys import Role, create_key
from services.kernel.security.peers import Peer, PeerReader
from tests.integration.admin.app_client import AppClient, bearer
from tests.integration.admin.console.test_clusters import log_in
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
KEY = "hk_key_of_eu"
CELL = CellView(
    cluster="eu",
    n_workloads=7,
    n_stale=0,
    decided_at=NOW,
    oldest_decided_at=NOW,
    operator_seen_at=None,
    gpus=[],
).model_dump(mode="json")


@pytest.fixture
def answers(anonymous: AppClient, tmp_path: Path) -> Iterator[dict[str, httpx.Response]]:
    """What peers answer, by name; one that is not there is dead."""
    found: dict[str, httpx.Response] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host not in found:
            raise httpx.ConnectError(f"no route with {KEY}")
        return found[request.url.host]

    peers = []
    for name in ("eu", "ap"):
        (tmp_path / name).write_text(KEY)
        peers.append(Peer(name, f"https://{name}", tmp_path / name))
    state = anonymous._app.state
    deps: AdminDeps = state.deps
    reader = PeerReader(peers, FixedClock(NOW), transport=httpx.MockTransport(answer))
    state.deps = replace(deps, peers=reader)
    yield found
    state.deps = deps


def test_one_that_answers_is_shown_and_one_that_does_not_since_when(
    anonymous: AppClient, database: Engine, answers: dict[str, httpx.Response]
) -> None:
    answers["eu"] = httpx.Response(200, json={"items": [CELL | {"of_a_later_release": 1}]})
    with database.begin() as connection:
        token = create_key(connection, "k", Role.VIEWER, NOW, None, None, None).token
    page = anonymous.get("/v1/cells/peers", headers=bearer(token))
    eu, ap = page.json()["items"]
    assert (eu["is_reachable"], eu["cells"][0]["n_workloads"]) == (True, 7)
    assert (ap["is_reachable"], ap["cells"]) == (False, [])
    assert ap["unreachable_at"] == NOW.isoformat().replace("+00:00", "Z")
    assert KEY not in page.text
    log_in(anonymous, database, None)
    console = anonymous.get("/cells").text
    assert "Unreachable" in console
    assert "<h2>eu</h2>" in console
    assert 'href="/cells' in anonymous.get("/").text, "found though there is one cluster here"


def test_who_has_rights_in_one_cluster_sees_no_other_database(
    anonymous: AppClient, database: Engine, answers: dict[str, httpx.Response]
) -> None:
    answers["eu"] = httpx.Response(200, json={"items": [CELL]})
    with database.begin() as connection:
        token = create_key(connection, "k", Role.VIEWER, NOW, None, None, 1).token
    assert anonymous.get("/v1/cells/peers", headers=bearer(token)).json() == {"items": []}
    with database.begin() as connection:
        narrow = create_key(connection, "n", Role.VIEWER, NOW, None, ["llm-prod"], 1).token
    assert anonymous.get("/v1/cells/shares", headers=bearer(narrow)).status_code == 403


def test_an_answer_of_another_shape_is_none(
    anonymous: AppClient, database: Engine, answers: dict[str, httpx.Response]
) -> None:
    answers["eu"] = httpx.Response(200, json={"items": [{"cluster": 5}]})
    answers["ap"] = httpx.Response(200, json={"things": []})
    with database.begin() as connection:
        token = create_key(connection, "k", Role.VIEWER, NOW, None, None, None).token
    items = anonymous.get("/v1/cells/peers", headers=bearer(token)).json()["items"]
    assert [item["reason"] for item in items] == ["its answer cannot be read"] * 2


def test_shares_tell_the_price_of_the_dearest_cell_and_all_counts(
    anonymous: AppClient, database: Engine
) -> None:
    with database.begin() as connection:
        token = create_key(connection, "k", Role.VIEWER, NOW, None, None, None).token
        set_total(connection, "H100", 40, NOW)
        set_total(connection, "L4", 4, NOW)
        connection.execute(
            text("INSERT INTO cell_budgets VALUES (1, 'H100', 17, 3, 1.5, :now)"), {"now": NOW}
        )
        connection.execute(
            text("INSERT INTO cell_budgets VALUES (1, 'L4', 4, 3, NULL, :now)"),
            {"now": NOW - timedelta(hours=1)},
        )
        connection.execute(text("INSERT INTO peer_gpus VALUES ('7', 'H100', 'eu', 3, 2, NULL)"))
    told = anonymous.get("/v1/cells/shares", headers=bearer(token)).json()
    h100, l4 = told["totals"]
    assert (told["name"], h100["gpus"], h100["price_usd_per_gpu_hour"]) == ("default", 40, 1.5)
    assert h100["ledgers"] == [{"peer": "7", "given_gpus": 3, "taken_gpus": 2}]
    assert (h100["is_short"], l4["is_short"]) == (False, True)
    assert l4["ledgers"] == []
    assert int(told["identity"]) > 0
