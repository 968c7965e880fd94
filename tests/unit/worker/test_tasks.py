"""A worker loads the tasks of its queues, and no others."""

import subprocess
import sys

import pytest

from services.kernel.errors import ConfigurationError
from services.worker.tasks import task_modules


def test_a_worker_loads_the_tasks_of_its_queues_only() -> None:
    assert task_modules("ingest, decide") == ["services.decision.tasks", "services.ingest.tasks"]
    assert task_modules("forecast") == ["services.forecasting.deps", "services.forecasting.tasks"]
    assert task_modules("fit") == [
        "services.advisory.tasks",
        "services.backtest.tasks",
        "services.decision.tasks",
        "services.forecasting.tasks",
    ]


@pytest.mark.parametrize("queues", ["", "decide,bake"])
def test_an_unknown_queue_is_named(queues: str) -> None:
    with pytest.raises(ConfigurationError, match="must be a comma-separated list of ingest"):
        task_modules(queues)


def test_a_worker_loads_no_web_framework() -> None:
    names = ", ".join(task_modules("ingest,decide"))
    code = f"import sys, {names}; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not set(shown.stdout.split()) & {"fastapi", "starlette", "uvicorn", "jwt", "torch"}
