"""An engine's response: what the table says, and the nearest response that Harmony could learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.kernel.errors import InvalidInput
from services.lab.bench.decide.task import DecideOptions
from services.lab.bench.loads.curves import EngineCurves
from services.lab.bench.loads.engine import EngineResponse, covered, maker
from services.lab.bench.loads.task import make_load_task
from tests.unit.lab.bench.loads.engine_points import KNOWN, points
from tests.unit.lab.bench.loads.small import NAMES, bench_task

CURVES = EngineCurves.of(points())
ENGINE = EngineResponse.of(CURVES, 2)
WHO = np.zeros(40, dtype=np.int64)


def compositions() -> np.ndarray:
    rng = np.random.default_rng(1)
    n_input, n_output = rng.uniform(250, 1100, 40), rng.uniform(25, 240, 40)
    return np.stack([np.ones(40), n_input, n_output], axis=1) * rng.uniform(0.5, 3.0, 40)[:, None]


def test_it_misses_what_the_table_was_made_with() -> None:
    loads = compositions()
    assert ENGINE.use(loads, WHO) == pytest.approx(KNOWN.use(loads, WHO), rel=0.03)
    assert ENGINE.mean(loads, WHO) == pytest.approx(KNOWN.mean(loads, WHO), abs=0.04)


def test_the_nearest_of_the_family_is_found() -> None:
    assert ENGINE.sharing == pytest.approx(KNOWN.sharing[0], rel=0.2)
    assert ENGINE.slope == pytest.approx(KNOWN.slope[0], rel=0.1)
    assert ENGINE.capacity[1] == pytest.approx(KNOWN.capacity[0], rel=0.25)
    told = ENGINE.draws(0, 100.0).miss(compositions())[0]
    assert told == pytest.approx(KNOWN.mean(compositions(), WHO), abs=0.05)


@given(st.integers(0, 39), st.floats(0.05, 20.0), st.floats(1.0, 3.0))
def test_along_a_composition_the_use_is_homogeneous_and_misses_never_fall(
    row: int, scale: float, more: float
) -> None:
    load = compositions()[row : row + 1]
    who = WHO[:1]
    assert ENGINE.use(scale * load, who) == pytest.approx(scale * ENGINE.use(load, who))
    low, high = ENGINE.mean(scale * load, who), ENGINE.mean(more * scale * load, who)
    assert high[0] >= low[0] - 1e-12


def test_no_load_misses_the_floor_and_no_replica_misses_all() -> None:
    ends = ENGINE.mean(np.array([[0.0, 0.0, 0.0], [np.inf, np.inf, np.inf]]), WHO[:2])
    assert ends == pytest.approx([0.004, 1.0])


def test_workloads_outside_the_table_are_named() -> None:
    loaded = bench_task()
    kept = covered(loaded, NAMES, CURVES)
    assert [one.workload for one in kept.series] == ["w0", "w1", "w2"]
    swapped = (NAMES[0], NAMES[2], NAMES[1])
    found = covered(loaded, swapped, CURVES)
    assert not found.series
    assert found.skipped["w0"].startswith("its composition is in the table for")


def test_it_stands_behind_a_benchmark_of_three_loads_only() -> None:
    options = DecideOptions(60, max_prelude_steps=30)
    task = make_load_task(bench_task(), NAMES, options, maker(CURVES))
    assert isinstance(task.truth.response, EngineResponse)
    assert task.truth.need()[:, 30:].mean() == pytest.approx(20)
    with pytest.raises(InvalidInput, match="2 loads: an engine's table"):
        make_load_task(bench_task(), NAMES[:2], options, maker(CURVES))
