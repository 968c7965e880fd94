"""A worker of the forecasting queues: `python -m services.forecasting.main`."""

from __future__ import annotations

import sys

from services.kernel.errors import HarmonyError
from services.kernel.settings import get_settings
from services.kernel.telemetry import configure_logging
from services.kernel.tracing_otel import configure_tracing
from services.kernel.worker import get_celery

QUEUES = ("forecast", "fit")


def main() -> int:
    """Work until stopped; the exit code is 2 when a setting is wrong."""
    try:
        settings = get_settings()
        configure_logging(settings.log_level, settings.log_format)
        configure_tracing(settings, "worker-forecasting")
        app = get_celery()
    except HarmonyError as error:
        print(error.message, file=sys.stderr)
        return 2
    app.worker_main(["worker", "--queues", ",".join(QUEUES), "--concurrency", "1"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
