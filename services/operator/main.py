"""Composition root of the operator: `python -m services.operator.main`."""

from __future__ import annotations

import asyncio
import sys

from prometheus_client import start_http_server

from services.kernel import telemetry
from services.kernel.clock import make_clock
from services.kernel.db.session import make_engine
from services.kernel.errors import HarmonyError
from services.kernel.settings import Settings, get_settings
from services.operator.handlers import run
from services.operator.kube import KubeClient
from services.operator.kube_http import KubeHttp, load_configuration
from services.operator.memory import Deps


def make_deps(settings: Settings) -> Deps:
    """Wire the operator.

    Raises:
        ConfigurationError: A setting is wrong, or no API server is configured.
    """
    return Deps(
        make_engine(settings.database_url),
        KubeClient(KubeHttp(load_configuration(settings.kube_url))),
        make_clock(settings.clock, settings.redis_url),
        settings,
    )


def main() -> int:
    """Run until stopped."""
    try:
        settings = get_settings()
        telemetry.configure_logging(settings.log_level, settings.log_format)
        deps = make_deps(settings)
    except HarmonyError as error:
        print(error.message, file=sys.stderr)
        return 2
    telemetry.leader.set(1)
    if settings.operator_metrics_port:
        start_http_server(settings.operator_metrics_port, registry=telemetry.REGISTRY)
    asyncio.run(run(deps))
    deps.engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
