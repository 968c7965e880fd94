"""Indicators written as the product writes them, from rows of single values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection

from services.kernel.db.steps.blocks import GAP, SEEN, StepBlock, to_us
from services.kernel.db.steps.writing import write_steps


def store_indicators(connection: Connection, rows: Iterable[Sequence[Any]]) -> int:
    """Store rows (workload_id, indicator, step_at, value, is_observed); returns the steps."""
    by_step: dict[tuple[int, Any], dict[str, tuple[float | None, bool]]] = {}
    for workload_id, indicator, step_at, value, is_observed in rows:
        by_step.setdefault((workload_id, step_at), {})[indicator] = (value, is_observed)
    by_names: dict[tuple[str, ...], list[tuple[int, Any]]] = {}
    for key, found in by_step.items():
        by_names.setdefault(tuple(found), []).append(key)
    blocks = []
    for names, keys in by_names.items():
        cells = [[by_step[key][name] for name in names] for key in keys]
        seen = np.array([[flag for _, flag in row] for row in cells])
        blocks.append(
            StepBlock(
                names,
                np.array([key[0] for key in keys]),
                np.array([to_us(key[1]) for key in keys]),
                np.array(
                    [[np.nan if v is None else v for v, _ in row] for row in cells], np.float32
                ),
                np.where(seen, SEEN, GAP).astype(np.uint8),
            )
        )
    return write_steps(connection, blocks)
