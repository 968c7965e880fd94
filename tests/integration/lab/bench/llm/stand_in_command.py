"""`harmony` with a queue in the place of the engine: run as a program by the tests."""

from __future__ import annotations

from typing import Any, cast

from services.cli.application import main
from services.lab.bench.llm import bench, serve
from services.lab.bench.llm.rivals import capacity
from tests.unit.lab.bench.llm.queue_engine import QueueEngine

if __name__ == "__main__":
    for module in (bench, serve):
        module.ReplayEngine = cast("Any", QueueEngine)  # type: ignore[misc]
    capacity._MINUTES = 6.0
    main()
