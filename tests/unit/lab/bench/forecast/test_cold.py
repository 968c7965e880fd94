"""The prior beside others for young workloads: who is shown what, and which figures follow."""

from __future__ import annotations

import numpy as np
import pytest

from services.forecasting.registry.shipped import shipped_prior
from services.lab.bench.forecast import cold
from services.lab.bench.forecast.cold import SHOWN, ColdOptions, bench_cold, table_rows
from services.lab.bench.forecast.own_arms import ModelArm
from services.lab.bench.forecast.task import BenchTask
from tests.unit.lab.bench.forecast.trained import SMALL, quiet


def test_without_a_fit_only_the_prior_and_simple_ones_are_scored(task: BenchTask) -> None:
    told: list[str] = []
    found = bench_cold(task, ColdOptions(shipped_prior(), is_fitted=False), told.append)
    assert found["warm"] is None
    assert [row["shown"] for row in found["rows"]] == list(SHOWN)
    for row in found["rows"]:
        assert row["prior_over_simple"] == pytest.approx(row["prior"] / row["simple"])
        assert row["best_simple_in_hindsight"] <= row["simple"]
        assert 0 <= row["workloads_worse"] <= len(task.series)
    assert found["prior"] == shipped_prior().version
    assert told[-1].endswith("all steps")


def test_a_fitted_model_is_shown_whole_windows(
    task: BenchTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold, "ModelArm", lambda: ModelArm(SMALL))
    monkeypatch.setattr(cold, "SHOWN", (12, None))
    found = bench_cold(task, ColdOptions(shipped_prior()), quiet)
    assert np.isfinite([row["model_unknown"] for row in found["rows"]]).all()
    rows = table_rows(found)
    assert [row["steps shown"] for row in rows] == [12, "all"]
    assert rows[0]["prior / warm"] == f"{found['rows'][0]['prior'] / found['warm']:.3f}"
