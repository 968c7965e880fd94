"""A small task that a file's tests share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.lab.bench.forecast.task import BenchTask


@pytest.fixture(scope="module")
def task(
    tmp_path_factory: pytest.TempPathFactory, small_task: Callable[..., BenchTask]
) -> BenchTask:
    return small_task(tmp_path_factory.mktemp("traces"))
