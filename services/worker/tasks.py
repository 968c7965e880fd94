"""Modules with the tasks of each queue: the only place that names the services' tasks."""

from __future__ import annotations

from services.kernel.errors import ConfigurationError
from services.kernel.jobs import QUEUES

TASK_MODULES = {
    "ingest": ("services.ingest.tasks",),
    # its first forecast is not to wait for what its tasks load late, which takes seconds
    "forecast": ("services.forecasting.tasks", "services.forecasting.deps"),
    "decide": ("services.decision.tasks",),
    "fit": (
        "services.forecasting.tasks",
        "services.decision.tasks",
        "services.backtest.tasks",
        "services.advisory.tasks",
    ),
}


def queue_names(queues: str) -> list[str]:
    """Names of the queues in a list, without what stands around them.

    Raises:
        ConfigurationError: An unknown queue.
    """
    names = [name.strip() for name in queues.split(",") if name.strip()]
    unknown = sorted(set(names) - set(QUEUES))
    if unknown or not names:
        raise ConfigurationError(
            f"HARMONY_QUEUES={queues!r}: must be a comma-separated list of {', '.join(QUEUES)}"
        )
    return names


def task_modules(queues: str) -> list[str]:
    """Modules with the tasks of `queues`; a worker loads no others.

    Raises:
        ConfigurationError: An unknown queue.
    """
    return sorted({module for name in queue_names(queues) for module in TASK_MODULES[name]})
