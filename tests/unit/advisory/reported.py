"""An advisory report of a few services, for what shows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from services.advisory.block_sums import BlockSums
from services.advisory.comparison import Ran, compare
from services.advisory.report import AdvisoryReport, Day, ServiceReport

TO = datetime(2026, 1, 8, 12, tzinfo=UTC)


def sums(n_blocks: int = 10, today: float = 100.0, harmony: float = 80.0) -> BlockSums:
    """Ten days on which everything is alike: 2 % out of SLA, under Harmony 1 %."""
    full = np.ones(n_blocks)
    return BlockSums(24 * full, today * full, harmony * full, 24 * full, 0.48 * full, 0.24 * full)


def service(workload: str = "prod/chat", *, is_known: bool = True) -> ServiceReport:
    """One service; one that cannot be compared where `is_known` is false."""
    ran = Ran(240.0, 1000.0, 0.02, 0.03)
    return ServiceReport(
        workload=workload,
        mode="Advisory",
        promise=0.015,
        kind="DemandFraction",
        scaled_by="HorizontalPodAutoscaler/chat",
        window_hours=250.0,
        undecided_hours=6.0,
        unpriced_hours=4.0,
        unsized_hours=0.0,
        own_hours=0.0,
        guarded_hours=12.0,
        today=ran,
        compared=ran if is_known else Ran(0.0, None, None, None),
        comparison=compare([sums()], np.random.default_rng(7)) if is_known else None,
        reason="" if is_known else "Harmony decided nothing for it in this time",
        starts="57 measured start-up times",
    )


def report(*services: ServiceReport) -> AdvisoryReport:
    """Ten days of these services."""
    fleet = compare([sums()], np.random.default_rng(7))
    one_day = compare([sums(n_blocks=1)], np.random.default_rng(7))
    assert one_day is not None
    is_known = any(one.comparison for one in services)
    return AdvisoryReport(
        from_at=TO - timedelta(days=10),
        to_at=TO,
        seed=7,
        block_s=86_400.0,
        services=services,
        fleet=fleet if is_known else None,
        days=(Day(TO.replace(hour=0), one_day),) if is_known else (),
        left_out=(("prod/ours", "Harmony scales it"),),
    )
