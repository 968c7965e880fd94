"""What the exporter says of a workload, read as Prometheus reads it."""

from __future__ import annotations

import gzip
from datetime import datetime

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from services.exporter.repository import FleetPart
from services.exporter.service import WorkloadPages
from services.kernel.clock import FixedClock


def page_of(engine: Engine, now: datetime, part: FleetPart | None = None) -> str:
    """The page of a part of the fleet, made anew."""
    pages = WorkloadPages(engine, FixedClock(now))
    return gzip.decompress(pages.page(part or FleetPart())).decode()


def exported(engine: Engine, now: datetime, name: str, **labels: str) -> float | None:
    """Value of the one series of `harmony_{name}` with these labels; None: there is none."""
    found = [
        sample.value
        for family in text_string_to_metric_families(page_of(engine, now))
        for sample in family.samples
        if sample.name == f"harmony_{name}" and labels.items() <= sample.labels.items()
    ]
    assert len(found) <= 1, (name, labels, found)
    return found[0] if found else None
