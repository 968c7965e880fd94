"""Composition root of the external scaler: `python -m services.scaler.main`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from services.kernel import telemetry
from services.kernel.clock import make_clock
from services.kernel.db.session import make_engine
from services.kernel.errors import HarmonyError
from services.kernel.http.metrics_server import serve_wsgi
from services.kernel.listening import listen, report_address
from services.kernel.settings import Settings, get_settings
from services.scaler.api import ExternalScaler
from services.scaler.listener import Watch
from services.scaler.server import make_server
from services.scaler.service import ScalerDeps

_N_THREADS = 8
_GRACE_S = 3.0


def make_deps(settings: Settings) -> ScalerDeps:
    """Wire the scaler; the database may still be away.

    Raises:
        ConfigurationError: A setting is wrong.
    """
    clock = make_clock(settings.clock, settings.redis_url)
    engine = make_engine(settings.database_url, cluster=settings.cluster)
    return ScalerDeps(engine, clock, settings)


async def serve(
    deps: ScalerDeps, stopped: asyncio.Event, on_ready: Callable[[int], object]
) -> None:
    """Serve until `stopped`; calls under way are answered first.

    Args:
        deps: What to serve from.
        stopped: Set to end.
        on_ready: Called with the port once calls are answered.

    Raises:
        ConfigurationError: The address cannot be had, or TLS is given by halves.
    """
    watch = Watch(deps)
    with ThreadPoolExecutor(_N_THREADS, thread_name_prefix="ask") as executor:
        server, port = make_server(deps.settings, ExternalScaler(deps, watch, executor), watch)
        watch.start()
        await server.start()
        on_ready(port)
        await stopped.wait()
        await watch.stop()
        await server.stop(_GRACE_S)


async def _serve_until_signal(deps: ScalerDeps) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    host = deps.settings.host
    await serve(deps, stopped, lambda port: report_address("scaler", host, port, ""))


def _serve_metrics(host: str, port: int) -> None:
    server = serve_wsgi(listen(host, port, "HARMONY_SCALER_METRICS_PORT"))
    report_address("scaler metrics", str(server.server_address[0]), server.server_port)


def main() -> int:
    """Run until stopped; 2 where a setting is wrong."""
    try:
        settings = get_settings()
        telemetry.configure_logging(settings.log_level, settings.log_format)
        deps = make_deps(settings)
        if settings.scaler_metrics_port is not None:
            _serve_metrics(settings.host, settings.scaler_metrics_port)
        asyncio.run(_serve_until_signal(deps))
    except HarmonyError as error:
        print(error.message, file=sys.stderr)
        return 2
    deps.engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
