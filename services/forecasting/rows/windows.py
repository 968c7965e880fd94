"""Windows of stored indicators at an origin, in one query per step length."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from sqlalchemy import Connection

from forecaster import WindowConfig, Windows, window_offsets
from services.forecasting.rows.translate import WorkloadRow, to_windows
from services.kernel.db.steps.blocks import SECOND_US, to_us
from services.kernel.db.steps.grid import NamedWorkload, WantedSteps
from services.kernel.db.steps.kept import KeptSteps, load_grid


def windows_at(
    connection: Connection,
    window: WindowConfig,
    workloads: Sequence[WorkloadRow],
    origin_at: datetime,
    kept: KeptSteps | None = None,
) -> Windows:
    """Load windows up to `origin_at` of workloads on one step length, in their order.

    Args:
        connection: An open transaction.
        window: What a window reads.
        workloads: Different ones.
        origin_at: Start of the last step that is read; after it, indicators known ahead only.
        kept: What was read before; None: all is read.
    """
    step_s = workloads[0].step_s
    offsets, place = np.unique(window_offsets(window, step_s), return_inverse=True)
    ordered = sorted(workloads, key=lambda workload: workload.id)
    names = [tuple(one.name for one in workload.spec.indicators) for workload in ordered]
    wanted = WantedSteps(
        tuple(NamedWorkload(one.id, name) for one, name in zip(ordered, names, strict=True)),
        to_us(origin_at) + offsets * (step_s * SECOND_US),
        step_s * SECOND_US,
    )
    grid = load_grid(connection, wanted) if kept is None else kept.load(connection, wanted)
    rows = np.searchsorted(wanted.ids, [workload.id for workload in workloads])
    return to_windows(workloads, grid[rows][:, place], int(origin_at.timestamp()), window)
