"""Composition root of the admin service: `python -m services.admin.main`."""

from __future__ import annotations

import sys

import redis
import uvicorn

from services.admin.api import make_app
from services.admin.service import AdminDeps
from services.admin.sessions import SessionStore
from services.kernel.clock import SystemClock, make_clock
from services.kernel.db.session import check_reachable, make_engine
from services.kernel.errors import HarmonyError
from services.kernel.security import KeyVerifier, ensure_first_key
from services.kernel.settings import Settings, get_settings
from services.kernel.telemetry import configure_logging


def make_deps(settings: Settings) -> AdminDeps:
    """Dependencies on the servers that the settings name.

    Raises:
        HarmonyError: The database cannot be reached or a setting is wrong.
    """
    engine = make_engine(settings.database_url)
    check_reachable(engine)
    client = redis.Redis.from_url(settings.redis_url, socket_timeout=5, socket_connect_timeout=5)
    return AdminDeps(
        engine=engine,
        redis=client,
        settings=settings,
        clock=make_clock(settings.clock, settings.redis_url),
        wall=SystemClock(),
        verifier=KeyVerifier(engine),
        sessions=SessionStore(client),
    )


def main() -> int:
    """Serve until stopped; 2 where a setting or a server is wrong."""
    try:
        settings = get_settings()
        configure_logging(settings.log_level, settings.log_format)
        deps = make_deps(settings)
        token = ensure_first_key(deps.engine, settings.admin_key_file, deps.wall.now())
    except HarmonyError as error:
        print(error.message, file=sys.stderr)
        return 2
    if token is not None:
        print(f"admin API key, shown this once: {token}", flush=True)
    uvicorn.run(
        make_app(deps),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
