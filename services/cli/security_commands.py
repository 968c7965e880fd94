"""Commands of API keys and of the audit log, for whoever may reach the database.

They need no key of their own: `harmony keys create` is how an administrator gets back in. The
audit log names the user of the operating system.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.connection import database_engine, login_name
from services.cli.output import console, named, print_json, print_table
from services.kernel.clock import Clock, SystemClock
from services.kernel.errors import InvalidInput
from services.kernel.security.keys import FLEET, KeyVerifier, Principal, Role, RoleGrant
from services.kernel.whole_files import write_whole

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from services.admin.access.schemas import AuditCheck, KeyCreated

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
KeyId = Annotated[int, typer.Argument(min=1, help="Id of the key, as `keys list` shows it.")]


@dataclass(frozen=True, slots=True)
class DatabaseDeps:
    """Dependencies of the use cases of keys and audit, without the servers of the API."""

    engine: Engine
    wall: Clock
    verifier: KeyVerifier


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    keys = typer.Typer(no_args_is_help=True, help="API keys: list, create, rotate, revoke.")
    keys.command("list")(list_keys)
    keys.command()(create)
    keys.command()(rotate)
    keys.command()(revoke)
    app.add_typer(keys, name="keys")
    audit = typer.Typer(no_args_is_help=True, help="The audit log: is it intact?")
    audit.callback()(_group)
    audit.command()(check)
    app.add_typer(audit, name="audit")


def _group() -> None:
    """A callback keeps `audit check` a command of a group, though it is the only one."""


def list_keys(as_json: AsJson = False) -> None:
    """Show the API keys, newest first; never their secrets."""
    from services.admin.access import service as access

    found = [key.model_dump(mode="json") for key in access.list_keys(_deps(), _caller())]
    if as_json:
        print_json(found)
    else:
        print_table("API keys", [_shown(key) for key in found])


def create(
    name: Annotated[str, typer.Argument(help="What the key is for, e.g. grafana.")],
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.VIEWER,
    namespace: Annotated[
        list[str] | None, typer.Option(help="Only there; may be repeated. Default: everywhere.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Only in this cluster; '*': in each. Needed with several.")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option(help="Refused from then on, e.g. 2027-01-01T00:00:00Z.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key; it is printed this once."""
    from pydantic import ValidationError

    from services.admin.access import service as access
    from services.admin.access.schemas import KeyRequest

    values = {"name": name, "role": role, "namespaces": namespace or None}
    values |= {"cluster": cluster}
    try:
        request = KeyRequest.model_validate(values | {"expires_at": expires_at})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if field == "expires_at":
            raise InvalidInput(
                f"--expires-at={expires_at}: must be a time to come with an offset, e.g. "
                "2027-01-01T00:00:00Z"
            ) from error
        raise InvalidInput(f"{field}={first['input']!r}: {first['msg']}") from error
    _print_key(access.create_key(_deps(), request, _caller()), as_json)


def rotate(
    key_id: KeyId,
    grace: Annotated[
        float, typer.Option(min=0, max=720, help="Hours for which the old key still works.")
    ] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Make a key that takes another's place; it is printed this once."""
    from services.admin.access import service as access

    _print_key(access.rotate_key(_deps(), key_id, grace * 3600, _caller()), as_json)


def revoke(key_id: KeyId, as_json: AsJson = False) -> None:
    """Revoke an API key; running processes forget it within a minute."""
    from services.admin.access import service as access

    access.revoke_key(_deps(), key_id, _caller())
    if as_json:
        print_json({"id": key_id, "revoked": True})
    else:
        console.print(f"key {key_id} is revoked")


def check(
    anchor: Annotated[
        str | None, typer.Option(help="Head that an earlier check printed: is it still there?")
    ] = None,
    anchor_file: Annotated[
        Path | None,
        typer.Option(
            callback=named, help="Read the anchor from this file, and keep the new head there."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the audit chain; exit status 1 where it is not intact.

    An end that was cut off shows only against an anchor that was kept elsewhere: run it daily with
    --anchor-file on another machine.
    """
    from services.admin.access import service as access

    if anchor_file is not None and anchor is not None:
        raise InvalidInput("--anchor and --anchor-file: give one of them")
    if anchor_file is not None and anchor_file.exists():
        try:
            anchor = anchor_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"--anchor-file={anchor_file}: cannot be read: {error}") from error
    found = access.check_audit(_deps(), anchor)
    if anchor_file is not None and found.is_intact and found.head is not None:
        write_whole(anchor_file, found.head + "\n")
    if as_json:
        print_json(found.model_dump())
    else:
        console.print(_verdict(found), soft_wrap=True)
    if not found.is_intact:
        raise typer.Exit(1)


def _verdict(found: AuditCheck) -> str:
    if found.first_broken_id is not None:
        return f"BROKEN: entry {found.first_broken_id} does not follow from the one before it"
    if found.is_anchored is False:
        return "CUT: the anchor is not in the chain; entries were removed from its end"
    anchored = "" if found.is_anchored is None else ", and the anchor is in it"
    return f"intact: {found.n_entries} entries{anchored}\nhead: {found.head or 'none yet'}"


def _deps() -> DatabaseDeps:
    engine = database_engine()
    return DatabaseDeps(engine, SystemClock(), KeyVerifier(engine))


def _caller() -> Principal:
    return Principal(None, "command line", login_name(), (RoleGrant(FLEET, Role.ADMIN),))


def _print_key(made: KeyCreated, as_json: bool) -> None:
    if as_json:
        print_json(made.model_dump(mode="json"))
        return
    until = f", until {made.expires_at.isoformat()}" if made.expires_at else ""
    where = ", ".join(made.namespaces) if made.namespaces else "the whole fleet"
    console.print(f"key {made.id} {made.name}: {made.role} in {where}{until}")
    console.print(f"shown this once: {made.token}", soft_wrap=True)


def _shown(key: dict[str, Any]) -> dict[str, Any]:
    state = "revoked" if key["revoked_at"] else "replaced" if key["replaced_by"] else "in force"
    expires_at = key["expires_at"]
    if expires_at and datetime.fromisoformat(expires_at) <= SystemClock().now():
        state = "expired"
    names = ("id", "name", "prefix", "role")
    where = {"namespaces": ", ".join(key["namespaces"] or []) or "all", "cluster": key["cluster"]}
    times = {"created_at": key["created_at"], "expires_at": expires_at}
    return {name: key[name] for name in names} | where | times | {"state": state}
