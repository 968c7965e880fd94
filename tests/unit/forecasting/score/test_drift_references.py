"""What a description of a history is of: the version, the workload and the length of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from forecaster import InputDriftConfig, Series
from services.forecasting.rows.translate import WorkloadRow
from services.forecasting.score.drift import DriftWatch

AT = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> DriftWatch:
    """A watch of one workload whose histories are all alike, whatever the step."""

    def series(_: DriftWatch, workloads: Sequence[Any], *_given: Any) -> list[Series]:
        values = np.random.default_rng(0).normal(100, 5, (400, 1)).astype(np.float32)
        seen = np.ones(values.shape, dtype=bool)
        return [Series("w", values, seen, ("d",), (1,), 0, 0, w.step_s) for w in workloads]

    monkeypatch.setattr(DriftWatch, "_series", series)
    found = object.__new__(DriftWatch)
    found.app = cast(Any, SimpleNamespace(settings=SimpleNamespace(fit_max_steps=400)))
    found.states = {1: {}}
    return found


def _workload(step_s: int) -> WorkloadRow:
    return cast(WorkloadRow, SimpleNamespace(id=1, step_s=step_s))


@pytest.mark.parametrize("window", [24, 48])
def test_after_steps_got_another_length_the_history_is_described_anew(
    watch: DriftWatch, window: int
) -> None:
    """Else a window of the new steps would be compared with one of the old: much is missing."""
    watch.describe([_workload(60)], AT, InputDriftConfig(window=48))
    first = watch.states[1]["reference"]
    watch.states[1]["compared"] = 7
    watch.describe([_workload(60)], AT, InputDriftConfig(window=48))
    assert watch.states[1]["reference"] is first, "once is enough"
    watch.describe([_workload(300)], AT, InputDriftConfig(window=window))
    assert watch.states[1]["reference"] is not first
    assert watch.states[1]["reference"]["window"] == window
    assert "compared" not in watch.states[1], "what was found of the old steps holds no more"


def test_one_that_was_described_before_steps_were_noted_is_kept(watch: DriftWatch) -> None:
    watch.describe([_workload(60)], AT, InputDriftConfig(window=48))
    del watch.states[1]["reference_step_s"]
    first = watch.states[1]["reference"]
    watch.describe([_workload(60)], AT, InputDriftConfig(window=48))
    assert watch.states[1]["reference"] is first
