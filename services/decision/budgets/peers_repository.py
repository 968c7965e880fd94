"""SQL of what this database and others have given to each other."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from decider import PeerLedger


class LedgerRow(NamedTuple):
    """Key of a ledger, and the other database's name."""

    peer: str
    gpu_type: str
    name: str


def lock_total(connection: Connection, gpu_type: str) -> int | None:
    """This database's amount of a type, which nobody changes until the transaction ends."""
    statement = text("SELECT gpus FROM cell_totals WHERE gpu_type = :gpu_type FOR UPDATE")
    found: int | None = connection.execute(statement, {"gpu_type": gpu_type}).scalar()
    return found


def store_total(connection: Connection, gpu_type: str, gpus: int) -> None:
    """Change the amount; it was set by nobody, so `set_at` stays."""
    statement = text("UPDATE cell_totals SET gpus = :gpus WHERE gpu_type = :gpu_type")
    connection.execute(statement, {"gpu_type": gpu_type, "gpus": gpus})


def load_ledger(connection: Connection, peer: str, gpu_type: str) -> PeerLedger:
    """What was given to another database and taken from it; nothing where they never met."""
    statement = text(
        "SELECT given_gpus, taken_gpus FROM peer_gpus WHERE peer = :peer AND gpu_type = :gpu_type"
    )
    row = connection.execute(statement, {"peer": peer, "gpu_type": gpu_type}).one_or_none()
    return PeerLedger() if row is None else PeerLedger(int(row[0]), int(row[1]))


def store_ledger(
    connection: Connection, row: LedgerRow, ledger: PeerLedger, given_at: datetime | None = None
) -> None:
    """Store a ledger; the time of the last gift stays where none is given."""
    statement = text(
        "INSERT INTO peer_gpus (peer, gpu_type, name, given_gpus, taken_gpus, given_at) "
        "VALUES (:peer, :gpu_type, :name, :given, :taken, :given_at) "
        "ON CONFLICT (peer, gpu_type) DO UPDATE SET name = EXCLUDED.name, "
        "given_gpus = EXCLUDED.given_gpus, taken_gpus = EXCLUDED.taken_gpus, "
        "given_at = COALESCE(EXCLUDED.given_at, peer_gpus.given_at)"
    )
    counts = {"given": ledger.given, "taken": ledger.taken, "given_at": given_at}
    connection.execute(statement, row._asdict() | counts)


def load_given_at(connection: Connection, gpu_type: str) -> dict[str, datetime]:
    """When something was given to each other database last."""
    statement = text(
        "SELECT peer, given_at FROM peer_gpus WHERE gpu_type = :gpu_type AND given_at IS NOT NULL"
    )
    rows = connection.execute(statement, {"gpu_type": gpu_type})
    return {str(row[0]): row[1] for row in rows}
