"""A run of chosen arms: one document, kept after each of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.bench.loads.arms import FULL, TOLD
from services.lab.bench.loads.effects import Document, deployed
from services.lab.bench.loads.forecasts import LoadForecasts
from services.lab.bench.loads.run import (
    LoadBench,
    bench_loads,
    bound_by,
    chosen_arms,
)
from services.lab.bench.loads.task import LoadTask
from tests.unit.lab.bench.loads.small import NAMES, fake_forecasts, load_task

TASK = load_task(16)
FORECASTS = fake_forecasts(TASK)


@pytest.mark.slow
def test_every_arm_is_in_the_document_and_kept_on_the_way() -> None:
    asked, kept = [], []

    def forecasts_of(name: str) -> Any:
        asked.append(name)
        return FORECASTS

    def keep(document: dict[str, Any]) -> None:
        kept.append(list(document["arms"]))

    bench = LoadBench((TASK,), (0.02, 0.2), 7, "drawn")
    names = ["no_levels", "only_output_tokens", TOLD]
    document = bench_loads(bench, names, forecasts_of, lambda _line: None, keep)
    assert list(document["arms"]) == [FULL, *names]
    assert kept == [[FULL, *names][: k + 1] for k in range(4)]
    assert asked == ["joint", "no_levels", "load2", "joint"]
    assert json.loads(json.dumps(document)) == document
    assert document["left_out"] == {}
    assert document["arms"]["no_levels"] == document["arms"][FULL]
    told = [deployed(document, epsilon)[TOLD] for epsilon in (0.02, 0.2)]
    assert told[0].cost > told[1].cost
    assert told[0].true < told[1].true


@pytest.mark.slow
def test_every_draw_is_as_if_it_were_run_alone() -> None:
    kept: list[int] = []

    def run(*tasks: LoadTask, forecasts: LoadForecasts = FORECASTS) -> Document:
        bench = LoadBench(tasks, (0.1,), 7, "drawn")
        keep = lambda document: kept.append(document["draws"])  # noqa: E731
        return bench_loads(bench, [TOLD], lambda _name: forecasts, lambda _line: None, keep)

    other = load_task(16, seed=8)
    assert not np.allclose(other.truth.response.capacity, TASK.truth.response.capacity)
    units = other.decide.gpus_per_unit / TASK.decide.gpus_per_unit
    alone = run(TASK), run(other, forecasts=FORECASTS.scaled(units))
    kept.clear()
    both = run(TASK, other)
    assert kept == [1, 1, 2]
    assert both["draws"] == 2
    for key in ("known", "needed", "bound_by"):
        assert both[key] == alone[0][key] + alone[1][key]
    for name in (FULL, TOLD):
        for key, values in both["arms"][name][0].items():
            assert values == alone[0]["arms"][name][0][key] + alone[1]["arms"][name][0][key]


def test_which_loads_bind_is_told_per_workload() -> None:
    found = bound_by(TASK)
    assert set(found) == {"w0", "w1", "w2"}
    assert np.array([list(one.values()) for one in found.values()]).sum(axis=1) == pytest.approx(
        1, abs=1e-4
    )


def test_harmony_itself_always_runs() -> None:
    assert [arm.name for arm in chosen_arms(NAMES, [TOLD])] == [FULL, TOLD]
    assert len(chosen_arms(NAMES, [])) == 10
    with pytest.raises(InvalidInput, match=r"--arms: 'x' is unknown; known: full"):
        chosen_arms(NAMES, ["x"])
