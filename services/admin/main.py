"""Composition root of the admin service: `python -m services.admin.main`."""

from __future__ import annotations

import sys

import redis
import uvicorn
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.admin.app import make_app
from services.admin.clusters import KnownClusters
from services.admin.deps import AdminDeps
from services.admin.sessions import SessionStore, session_key
from services.kernel.celery_app import CelerySender, get_celery
from services.kernel.clock import SystemClock, make_clock
from services.kernel.db.migrations import see_schema
from services.kernel.db.session import check_reachable, make_engine
from services.kernel.errors import ConfigurationError, HarmonyError
from services.kernel.http.protocol import ProblemProtocol
from services.kernel.http.serving import serve_until_stopped, settle
from services.kernel.listening import listen, report_address
from services.kernel.security.bind import check_bind
from services.kernel.security.keys import KeyVerifier, ensure_first_key
from services.kernel.security.limits import Limiter
from services.kernel.security.oidc import make_verifier
from services.kernel.security.oidc_login import make_login
from services.kernel.security.peers import PeerReader, peers_of
from services.kernel.settings import Settings, get_settings
from services.kernel.telemetry import configure_logging
from services.kernel.tracing_otel import configure_tracing

_REDIS_S = 1.0
"""Seconds in which Redis answers, or is away."""


def make_deps(settings: Settings) -> AdminDeps:
    """Dependencies on the servers that the settings name.

    Raises:
        HarmonyError: The database cannot be reached or a setting is wrong.
    """
    key, wall = session_key(settings.admin_key_file), SystemClock()
    engine = make_engine(settings.database_url, n_kept=10)
    try:
        check_reachable(engine)
        seen = see_schema(engine)
        # an older one is migrated while this waits for it, not ready
        if seen.revision is None or (seen.is_newer and not seen.is_served):
            raise ConfigurationError(seen.message)
    except HarmonyError:
        engine.dispose()
        raise
    client = redis.Redis.from_url(
        settings.redis_url,
        # twice this is less than a probe of readiness waits
        socket_timeout=_REDIS_S,
        socket_connect_timeout=_REDIS_S,
        retry=Retry(NoBackoff(), retries=1),
    )
    return AdminDeps(
        engine=engine,
        redis=client,
        settings=settings,
        clock=make_clock(settings.clock, settings.redis_url),
        wall=wall,
        verifier=KeyVerifier(engine),
        sessions=SessionStore(client, key, wall),
        sender=CelerySender(get_celery()),
        oidc=make_verifier(settings),
        limiter=Limiter.connect("admin", settings.redis_url),
        oidc_login=make_login(settings),
        clusters=KnownClusters(engine),
        peers=PeerReader(peers_of(settings), wall),
    )


def main() -> int:
    """Serve until stopped; 2 where a setting or a server is wrong."""
    try:
        settings = get_settings()
        configure_logging(settings.log_level, settings.log_format)
        configure_tracing(settings, "admin")
        check_bind(settings, "admin_key_file")
        deps = make_deps(settings)
        try:
            serve(settings, deps)
        finally:
            deps.engine.dispose()
    except HarmonyError as error:
        print(error.message, file=sys.stderr)
        return 2
    return 0


def serve(settings: Settings, deps: AdminDeps) -> None:
    """Serve until stopped.

    Raises:
        HarmonyError: A setting is wrong, or the address cannot be had.
    """
    # proxies are trusted where HARMONY_TRUSTED_PROXIES says so, not where uvicorn would
    config = uvicorn.Config(
        make_app(deps),
        http=ProblemProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=5,  # event streams do not end by themselves
    )
    with listen(settings.host, settings.port, "HARMONY_PORT") as listener:
        token = ensure_first_key(deps.engine, settings.admin_key_file, deps.wall.now())
        if token is not None:
            print(f"admin API key, shown this once: {token}", flush=True)
        settle()
        report_address("admin", settings.host, listener.getsockname()[1])
        serve_until_stopped(config, listener)


if __name__ == "__main__":
    sys.exit(main())
