"""Composition root of the push API: `python -m services.ingest.main`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from services.ingest.api import make_app
from services.ingest.deps import IngestDeps
from services.ingest.tasks import make_deps
from services.kernel.errors import ConfigurationError, HarmonyError
from services.kernel.http.protocol import ProblemProtocol
from services.kernel.http.serving import serve_until_stopped, settle
from services.kernel.listening import listen, report_address
from services.kernel.secret_files import file_of
from services.kernel.security.bind import check_bind
from services.kernel.security.http import protect
from services.kernel.security.limits import Limiter
from services.kernel.security.origins import refuse_foreign
from services.kernel.settings import get_settings
from services.kernel.telemetry import configure_logging
from services.kernel.tracing_otel import configure_tracing


def make_standalone_app(deps: IngestDeps) -> FastAPI:
    """The push API that owns `deps` and closes them when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        deps.close()

    app = make_app(deps, lifespan)
    protect(app, deps.settings, deps.limiter)
    refuse_foreign(app, deps.settings)
    return app


def main() -> int:
    """Serve until stopped; the exit code is 2 when a setting is wrong."""
    try:
        settings = get_settings()
        configure_logging(settings.log_level, settings.log_format)
        configure_tracing(settings, "ingest")
        for name in ("database_url", "redis_url"):
            if not getattr(settings, name):
                raise ConfigurationError(
                    f"HARMONY_{name.upper()} is empty; give the URL of a server, "
                    "or run `harmony up`, which starts embedded ones"
                )
        check_bind(settings, "push_token")
        deps = make_deps(settings, settings.cluster)
        deps.token_file = file_of("push_token")
        deps.limiter = Limiter.connect("ingest", settings.redis_url)
        app = make_standalone_app(deps)
        listener = listen(settings.host, settings.ingest_port, "HARMONY_INGEST_PORT")
    except HarmonyError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    # proxies are trusted where HARMONY_TRUSTED_PROXIES says so, not where uvicorn would
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=ProblemProtocol,
        timeout_graceful_shutdown=20,  # within the 30 s that a pod is given
    )
    with listener:
        settle()
        report_address("ingest", settings.host, listener.getsockname()[1])
        serve_until_stopped(config, listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
