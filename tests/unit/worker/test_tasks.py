"""A worker loads the tasks of its queues, and no others."""

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
