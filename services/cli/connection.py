"""The database of a command: the setting's, else that of the platform that `harmony up` runs."""

from __future__ import annotations

import json

from sqlalchemy import Engine

from services.kernel.db.session import check_reachable, make_engine
from services.kernel.errors import ConfigurationError
from services.kernel.settings import Settings, get_settings
from services.platform.embedded_servers import default_home

RUNNING_FILE = "running.json"


def connected_settings() -> Settings:
    """The settings, with the URLs of a running `harmony up` or `harmony demo` filled in.

    Raises:
        ConfigurationError: No URL is set and none of them runs.
    """
    settings = get_settings()
    if settings.database_url:
        return settings
    home = settings.home or default_home()
    for name in ("up", "demo"):
        file = home / name / RUNNING_FILE
        if file.exists():
            urls = json.loads(file.read_text())
            return settings.model_copy(update=urls)
    raise ConfigurationError(
        "HARMONY_DATABASE_URL is not set and no platform runs on this machine; set it, or run "
        "`harmony up` in another terminal"
    )


def database_engine() -> Engine:
    """Engine on the database of `connected_settings`.

    Raises:
        ConfigurationError: No database is known.
        Unavailable: It cannot be reached.
    """
    engine = make_engine(connected_settings().database_url)
    check_reachable(engine)
    return engine
