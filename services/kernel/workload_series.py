"""Series of workloads that are gone go too.

Several processes measure a workload, and which of them handles it next is chance: none can know
from its own work that a workload is gone, and its last figures would stand for ever. So a process
asks the database at its scrapes, and drops what is of no active workload. The operator and the
external scaler know by themselves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from services.kernel import telemetry

Key = tuple[str, str]
"""Namespace and name of a workload."""

_EVERY_S = 30.0


class WorkloadSeries(Collector):
    """A collector without metrics of its own that drops series of others as it is asked."""

    def __init__(
        self,
        load_active: Callable[[], Collection[Key]],
        gauges: Collection[Gauge],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask `load_active` for the workloads that there are, at most every half minute."""
        self._load_active = load_active
        self._gauges = gauges
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._due_s = -float("inf")

    def describe(self) -> Iterable[Metric]:
        """It has none."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Drop what is of no active workload; a database that is away costs nothing but time."""
        with self._lock:
            if self._monotonic() < self._due_s:
                return ()
            self._due_s = self._monotonic() + _EVERY_S
        try:
            self.drop_gone()
        except DBAPIError as error:
            telemetry.get_logger("metrics").warning("series_kept", error=str(error.orig)[:200])
        return ()

    def drop_gone(self) -> None:
        """Drop what is of no active workload.

        Raises:
            sqlalchemy.exc.DBAPIError: The database failed.
        """
        # first what is shown: a workload that is registered between the two stays
        shown = {gauge: _labels(gauge) for gauge in self._gauges}
        active = set(self._load_active())
        for gauge, series in shown.items():
            for labels in series:
                if labels[:2] not in active:
                    gauge.remove(*labels)


def _labels(gauge: Gauge) -> list[tuple[str, ...]]:
    """Label values of each series, namespace and workload first, as they were declared."""
    return [tuple(s.labels.values()) for metric in gauge.collect() for s in metric.samples]


def load_active(engine: Engine) -> list[Key]:
    """The active workloads."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT namespace, name FROM workloads WHERE is_active"))
        return [(row[0], row[1]) for row in found]


@contextmanager
def watched_workloads(
    engine: Engine, registry: CollectorRegistry = telemetry.REGISTRY
) -> Iterator[None]:
    """Meanwhile the scrapes of this process drop the series of workloads that are gone."""
    series = WorkloadSeries(partial(load_active, engine), telemetry.WORKLOAD_GAUGES)
    registry.register(series)
    try:
        yield
    finally:
        registry.unregister(series)
