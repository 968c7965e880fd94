"""Commands of the clusters that share the database, for whoever owns it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.connection import database_engine, login_name
from services.cli.output import console, print_json, print_table
from services.kernel.clock import SystemClock
from services.kernel.db import clusters
from services.kernel.security.audit import AuditEntry, append_audit
from services.kernel.security.peers import CELLS_PATH, PeerReader, peers_of
from services.kernel.settings import get_settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(help="Name of a cluster, e.g. eu-west.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    cells = typer.Typer(
        no_args_is_help=True, help="Clusters that share this database: list, add, rename."
    )
    cells.command("list")(list_cells)
    cells.command()(add)
    cells.command()(rename)
    cells.command()(total)
    app.add_typer(cells, name="cells")


def list_cells(as_json: AsJson = False) -> None:
    """Show the clusters, the oldest first, and when the operator of each was seen last.

    Those of the other databases that HARMONY_PEERS names follow.
    """
    with database_engine().connect() as connection:
        found = clusters.load_clusters(connection)
    rows: list[dict[str, Any]] = [
        {
            "id": each.id,
            "name": each.name,
            "operator_seen_at": each.operator_seen_at and each.operator_seen_at.isoformat(),
        }
        for each in found
    ]
    peers = _peer_rows()
    if peers:
        rows = [{**row, "peer": "", "problem": ""} for row in rows] + peers
    if as_json:
        print_json(rows)
    else:
        print_table("Clusters", rows)


def _peer_rows() -> list[dict[str, Any]]:
    """Clusters of the other databases that HARMONY_PEERS names; a row for one without an answer."""
    clock = SystemClock()
    rows = []
    for answer in PeerReader(peers_of(get_settings()), clock).read(CELLS_PATH):
        empty = {"id": None, "name": "", "operator_seen_at": None, "peer": answer.peer}
        if answer.document is None:
            rows.append(empty | {"problem": answer.problem})
            continue
        for cell in answer.document.get("items", ()):
            seen = {"name": cell["cluster"], "operator_seen_at": cell["operator_seen_at"]}
            rows.append(empty | seen | {"problem": ""})
    return rows


def add(name: Name, as_json: AsJson = False) -> None:
    """Add a cluster; set HARMONY_CLUSTER to its name for its operator, scaler and push API.

    Every process must be of this release before a second one is added.
    """
    now = SystemClock().now()
    with database_engine().begin() as connection:
        made = clusters.add_cluster(connection, name, now)
        _audit(connection, "cluster.add", name, {"id": made.id})
    if as_json:
        print_json({"id": made.id, "name": made.name})
    else:
        console.print(f"cluster {made.name} is added; its processes need HARMONY_CLUSTER={name}")


def rename(name: Name, new_name: Annotated[str, typer.Argument(help="Its new name.")]) -> None:
    """Give a cluster another name; what names it in settings must follow at once."""
    with database_engine().begin() as connection:
        clusters.rename_cluster(connection, name, new_name)
        _audit(connection, "cluster.rename", name, {"name": new_name})
    console.print(f"cluster {name} is now {new_name}; set HARMONY_CLUSTER={new_name}")


def total(
    gpu_type: Annotated[str, typer.Argument(help="As the workloads spell it, e.g. H100.")],
    gpus: Annotated[
        int | None, typer.Argument(min=0, help="GPUs of all clusters together; none: no total.")
    ] = None,
) -> None:
    """Set how many GPUs of a type all clusters may hold together; they share it by price."""
    now = SystemClock().now()
    with database_engine().begin() as connection:
        clusters.set_total(connection, gpu_type, gpus, now)
        _audit(connection, "cluster.total", gpu_type, {"gpus": gpus})
    console.print(f"{gpu_type}: " + ("no total over the clusters" if gpus is None else f"{gpus}"))


def _audit(connection: Connection, action: str, name: str, after: dict[str, Any]) -> None:
    actor = f"{login_name()} (command line)"
    entry = AuditEntry(SystemClock().now(), actor, action, f"cluster/{name}", after=after)
    append_audit(connection, entry)
