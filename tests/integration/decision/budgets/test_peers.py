"""Two databases of cells, each behind a real API process: a total moves between them by prices."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from decider import PeerLedger
from services.decision.budgets.exchange import exchange_parts
from services.decision.budgets.peers import told_totals
from services.kernel.clock import SystemClock
from services.kernel.db.clusters import DatabaseIdentity, load_identity, rename_cluster, set_total
from services.kernel.db.session import dispose_engines, make_engine
from services.kernel.security.keys import Role, create_key
from services.kernel.security.peers import SHARES_PATH, Peer, PeerAnswer, PeerReader
from services.kernel.settings import Settings
from tests.databases import Databases
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.stored_rows import NOW, STEP_S
from tests.reported_port import reported_port

pytestmark = pytest.mark.integration
TOTALS = {"us": 14, "eu": 10}
ME = DatabaseIdentity("1", "us")


@dataclass
class Cell:
    """A database with its fleet and the API that others read."""

    name: str
    fleet: Fleet
    process: subprocess.Popen[str]
    url: str
    token: str

    @property
    def engine(self) -> Engine:
        """Of its database."""
        return self.fleet.engine

    def scalar(self, statement: str) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(text(statement)).scalar()

    @property
    def amount(self) -> int:
        """GPUs that its cells may hold together."""
        return int(self.scalar("SELECT gpus FROM cell_totals") or 0)

    @property
    def bound(self) -> int:
        """GPUs that its workloads hold, or may take."""
        return int(self.scalar("SELECT sum(greatest(gpus, held_gpus)) FROM cell_budgets") or 0)

    def counted(self, column: str) -> int:
        return int(self.scalar(f"SELECT sum({column}) FROM peer_gpus") or 0)


def start(name: str, url: str, redis_url: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "HARMONY_DATABASE_URL": url,
        "HARMONY_REDIS_URL": redis_url,
        "HARMONY_PORT": "0",
        "HARMONY_CLUSTER": name,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "services.admin.main"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture
def cells(
    databases: Databases,
    begun_database: str,
    settings: Settings,
    redis_url: str,
    tmp_path: Path,
) -> Iterator[dict[str, Cell]]:
    made: dict[str, Cell] = {}
    names = {name: databases.create(begun_database) for name in TOTALS}
    try:
        for number, (name, database) in enumerate(names.items()):
            url = databases.url(database)
            engine = make_engine(url)
            with engine.begin() as connection:
                rename_cluster(connection, "default", name)
                born = datetime(2026, 1, 1, 0, 0, number, tzinfo=UTC)
                connection.execute(text("UPDATE clusters SET created_at = :at"), {"at": born})
                token = create_key(connection, "peer", Role.VIEWER, NOW, None, None, None).token
                set_total(connection, "H100", TOTALS[name], NOW)
            process = start(name, url, redis_url)
            port = reported_port(process, "admin")
            made[name] = Cell(
                name, Fleet(engine, settings), process, f"http://127.0.0.1:{port}", token
            )
        for cell in made.values():
            others = [other for other in made.values() if other is not cell]
            folder = tmp_path / cell.name
            folder.mkdir()
            for other in others:
                (folder / other.name).write_text(other.token)
            peers = [Peer(other.name, other.url, folder / other.name) for other in others]
            # every exchange asks anew: nothing is kept
            reader = PeerReader(peers, SystemClock(), monotonic=_Hurried())
            cell.fleet.deps = replace(cell.fleet.deps, peers=reader)
        yield made
    finally:
        for cell in made.values():
            cell.process.send_signal(signal.SIGTERM)
            cell.process.communicate(timeout=20)
        for database in names.values():
            dispose_engines(databases.url(database))
            databases.drop(database)


class _Hurried:
    """Seconds that pass quickly between requests, and hardly within one."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def __call__(self) -> float:
        """Now."""
        self.at_s += 0.01
        return self.at_s

    def pass_by(self) -> None:
        self.at_s += 60.0


def step(cells: dict[str, Cell], *idle: str) -> None:
    """Each exchanges and decides, but those that are idle; the law holds after each."""
    for name, cell in cells.items():
        if name not in idle:
            reader = cell.fleet.deps.peers
            assert reader is not None
            reader.monotonic.pass_by()  # type: ignore[attr-defined]
            exchange_parts(cell.fleet.deps)
            hold_law(cells)
            cell.fleet.decide(0)
    for cell in cells.values():
        cell.fleet.step()


def hold_law(cells: dict[str, Cell]) -> None:
    """What cells hold or may take, and what is on the way, is never beyond the total."""
    way = sum(cell.counted("given_gpus") - cell.counted("taken_gpus") for cell in cells.values())
    assert way >= 0
    assert sum(cell.amount for cell in cells.values()) + way == sum(TOTALS.values())
    for cell in cells.values():
        assert cell.bound <= cell.amount, cell.name


@pytest.mark.slow
def test_gpus_go_where_they_are_worth_most_and_never_beyond_the_total(
    cells: dict[str, Cell],
) -> None:
    us, eu = cells["us"], cells["eu"]
    us.fleet.add("calm", 0, 8, 30.0)
    eu.fleet.add("busy", 0, 8, 220.0)
    for _ in range(6):
        step(cells)
    assert eu.amount > TOTALS["eu"]
    assert us.amount >= 3
    assert us.counted("given_gpus") > eu.counted("given_gpus") == 0, "nothing goes back and forth"
    # one that dies takes nothing with it but what is on the way
    us.process.kill()
    us.process.wait(20)
    before = eu.amount
    for _ in range(2):
        step(cells)
    assert eu.amount == before
    assert eu.fleet.decisions(), "decisions go on"
    for _ in range(18):
        step(cells, "us")


@pytest.mark.slow
def test_two_exchanges_at_once_and_an_answer_heard_twice_move_nothing_twice(
    cells: dict[str, Cell],
) -> None:
    us, eu = cells["us"], cells["eu"]
    with us.engine.begin() as connection:
        me = load_identity(connection)
    with eu.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO peer_gpus VALUES (:peer, 'H100', 'us', 3, 0, NULL)"),
            {"peer": me.identity},
        )
        connection.execute(text("UPDATE cell_totals SET gpus = gpus - 3"))
    for _ in range(3):
        us.fleet.clock.advance(STEP_S)
        reader = us.fleet.deps.peers
        assert reader is not None
        reader.monotonic.pass_by()  # type: ignore[attr-defined]
        exchange_parts(us.fleet.deps)
        exchange_parts(us.fleet.deps)
        hold_law(cells)
    assert us.amount == TOTALS["us"] + 3
    assert us.counted("taken_gpus") == 3


@pytest.mark.slow
def test_what_is_read_is_what_is_told(cells: dict[str, Cell]) -> None:
    us, eu = cells["us"], cells["eu"]
    exchange_parts(eu.fleet.deps)
    reader = us.fleet.deps.peers
    assert reader is not None
    (answer,) = reader.read(SHARES_PATH)
    with us.engine.connect() as connection:
        me = load_identity(connection)
    ((told,),) = told_totals([answer], me).values()
    assert (told.name, told.gpus, told.price) == ("eu", TOTALS["eu"], 0.0)
    assert told.exchanged_at == NOW
    assert told.ledger == PeerLedger()


def shares(**changes: Any) -> dict[str, Any]:
    total = {
        **{"gpu_type": "H100", "gpus": 8, "price_usd_per_gpu_hour": 1.5, "is_short": False},
        **{"exchanged_at": NOW.isoformat()},
        "ledgers": [{"peer": "1", "given_gpus": 5, "taken_gpus": 2}],
    }
    return {"identity": "2", "name": "eu", "totals": [total | changes.pop("total", {})]} | changes


def told(document: dict[str, Any] | None) -> list[Any]:
    answer = PeerAnswer("eu", document, "" if document else "cannot be reached", NOW)
    return told_totals([answer], ME).get("H100", [])


def test_a_peer_is_read_by_this_database_s_own_account() -> None:
    (found,) = told(shares())
    assert (found.price, found.ledger) == (1.5, PeerLedger(5, 2))
    (short,) = told(shares(total={"is_short": True, "price_usd_per_gpu_hour": None}))
    assert short.price == math.inf
    (silent,) = told(shares(total={"price_usd_per_gpu_hour": None, "exchanged_at": None}))
    assert silent.price is None
    assert not silent.is_fresh(NOW, STEP_S)
    (strange,) = told(shares(total={"ledgers": []}))
    assert strange.ledger == PeerLedger()


@pytest.mark.parametrize(
    "document",
    [
        None,
        shares(name="other"),
        shares(identity="1"),
        shares(totals="none"),
        shares(total={"gpus": -1}),
        shares(total={"gpus": 10**30}),
        shares(total={"exchanged_at": "2026-01-05T00:00:00"}),
        shares(total={"ledgers": [{"peer": "1", "given_gpus": 10**30, "taken_gpus": 2}]}),
        shares(total={"ledgers": [{"peer": "1", "given_gpus": -5, "taken_gpus": 2}]}),
    ],
)
def test_what_is_none_of_ours_or_cannot_be_is_left_out(document: dict[str, Any] | None) -> None:
    assert told(document) == []
