"""A command's database, that of the setting or of the platform that runs here, and its caller."""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from services.kernel.db.session import check_reachable, make_engine
from services.kernel.errors import ConfigurationError, Unavailable
from services.kernel.settings import Settings, get_settings
from services.platform.embedded_servers import default_home

RUNNING_FILE = "running.json"


def connected_settings() -> Settings:
    """The settings, with URLs and clock of a running `harmony up` or `harmony demo` filled in.

    A demo's database is of another year: where its URL is set, as `harmony demo` prints it, what it
    says of its time holds too, but for what is set beside it.

    Raises:
        ConfigurationError: No URL is set and none of them runs.
        Unavailable: Those that are written down as running do not answer.
    """
    settings = get_settings()
    home = settings.home or default_home()
    files = {name: home / name / RUNNING_FILE for name in ("up", "demo")}
    running = {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}
    if settings.database_url:
        own = (each for each in running.values() if each["database_url"] == settings.database_url)
        told: dict[str, Any] = next(own, {})
        unset = {key: told[key] for key in told if key not in settings.model_fields_set}
        return settings.model_copy(update=unset)
    away: Unavailable | None = None
    for name, urls in running.items():
        try:
            _check_running(urls["database_url"], files[name], name)
        except Unavailable as error:  # it was killed; the other one may run
            away = away or error
            continue
        return settings.model_copy(update=urls)
    if away is not None:
        raise away
    raise ConfigurationError(
        "HARMONY_DATABASE_URL is not set and no platform runs on this machine; set it, or run "
        "`harmony up` in another terminal"
    )


def _check_running(database_url: str, file: Path, name: str) -> None:
    """See that the platform that wrote `file` is there: one that was killed leaves it."""
    try:
        check_reachable(make_engine(database_url))
    except Unavailable as error:
        raise Unavailable(
            f"the database of `harmony {name}` in {file.parent} does not answer; start that again, "
            "or set HARMONY_DATABASE_URL"
        ) from error


def database_engine() -> Engine:
    """Engine on the database of `connected_settings`.

    Raises:
        ConfigurationError: No database is known.
        Unavailable: It cannot be reached.
    """
    engine = make_engine(connected_settings().database_url)
    check_reachable(engine)
    return engine


def login_name() -> str:
    """Who is at the command line, as the audit log names them.

    A container may run as a uid without a name (`docker run --user`, OpenShift): then it is that.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # from Python 3.13 on it is the latter
        return f"uid {os.getuid()}"
