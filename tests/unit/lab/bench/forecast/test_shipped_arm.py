"""What the platform would have answered: the model, corrected by what came of earlier answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.online.calibration import Calibration
from forecaster.online.hedge import Hedge
from services.kernel.clock import make_rng
from services.lab.bench.forecast.arm import LEVELS
from services.lab.bench.forecast.floor_arm import KnownLevelArm
from services.lab.bench.forecast.own_arms import SimpleArm
from services.lab.bench.forecast.shipped_arm import (
    CalibratedArm,
    FittedShipped,
    OnlineState,
    Said,
    ShippedArm,
    last_value_quantiles,
)
from services.lab.bench.forecast.task import BenchTask
from services.simulator.fleet.arrays import F32Array
from tests.unit.lab.bench.decide.tasks import bench_task
from tests.unit.lab.bench.forecast.trained import SMALL, quiet, rng

N_PATHS = 20


@pytest.fixture(scope="module")
def fitted(task: BenchTask) -> FittedShipped:
    return ShippedArm(SMALL).fit(task, 7, quiet)


@pytest.fixture(scope="module")
def said(task: BenchTask, fitted: FittedShipped) -> Said:
    """What model and last value say on the test part."""
    origins = task.test_origins()
    model = fitted.model.predict(task, origins, 1, rng()).quantiles
    return Said(model, last_value_quantiles(task, origins))


def empty(task: BenchTask, *, is_hedged: bool = True, is_calibrated: bool = True) -> OnlineState:
    names = [str(cell) for cell in range(task.targets.size)]
    return OnlineState(
        Hedge().empty_state(names) if is_hedged else None,
        Calibration(LEVELS).empty_state(names) if is_calibrated else None,
    )


def issued(fitted: FittedShipped, task: BenchTask, said: Said, online: OnlineState) -> F32Array:
    return replace(fitted, online=online).issued(task, task.test_origins(), said)[0]


def test_with_nothing_online_the_model_is_what_is_said(task: BenchTask) -> None:
    lines: list[str] = []
    bare = ShippedArm(SMALL, is_hedged=False, is_calibrated=False).fit(task, 7, lines.append)
    assert lines[-1] == "hedge and calibration"
    assert bare.online == OnlineState(None, None)
    origins = task.test_origins()
    found = bare.predict(task, origins, N_PATHS, rng())
    raw = bare.model.predict(task, origins, N_PATHS, rng())
    np.testing.assert_array_equal(found.quantiles, raw.quantiles)
    assert found.paths is not None
    assert raw.paths is not None
    np.testing.assert_allclose(found.paths, np.maximum(raw.paths, 0), rtol=1e-4, atol=1e-4)


def test_both_corrections_start_on_late_validation(task: BenchTask, fitted: FittedShipped) -> None:
    held = task.validation_origins()
    middle = (np.array(task.train_ends) + np.array(task.validation_ends)) // 2
    late = held.take(np.flatnonzero(held.position >= middle[held.which]))
    assert 0 < late.which.size < held.which.size
    answer = fitted.model.predict(task, late, 1, make_rng(7, "bench", "online"))
    said = Said(answer.quantiles, last_value_quantiles(task, late))
    _, started = replace(fitted, online=empty(task)).issued(task, late, said)
    origins = task.test_origins()
    again = replace(fitted, online=started).predict(task, origins, N_PATHS, rng())
    served = fitted.predict(task, origins, N_PATHS, rng())
    np.testing.assert_array_equal(served.quantiles, again.quantiles)
    fresh = replace(fitted, online=empty(task)).predict(task, origins, N_PATHS, rng())
    assert not np.array_equal(served.quantiles, fresh.quantiles)


def test_without_demand_in_late_validation_both_start_from_nothing(task: BenchTask) -> None:
    """As in a public trace whose collection failed for a month."""

    def with_gap(observed: np.ndarray, first: int, stop: int) -> np.ndarray:
        changed = observed.copy()
        changed[(first + stop) // 2 : stop] = False
        return changed

    ends = zip(task.series, task.train_ends, task.validation_ends, strict=True)
    series = tuple(replace(s, observed=with_gap(s.observed, a, b)) for s, a, b in ends)
    lines: list[str] = []
    gapped = replace(task, series=series)
    found = ShippedArm(SMALL).fit(gapped, 7, lines.append)
    assert "no demand was seen in the second half of validation" in lines[-1]
    assert found.online.calibration is not None
    assert not found.online.calibration.n_seen.any()
    assert np.isfinite(found.predict(gapped, gapped.test_origins(), N_PATHS, rng()).quantiles).all()


def test_a_hedge_stays_between_model_and_last_value(
    task: BenchTask, fitted: FittedShipped, said: Said
) -> None:
    found = issued(fitted, task, said, empty(task, is_calibrated=False))
    assert not np.array_equal(found, said.model)
    assert (found >= np.minimum(said.model, said.last_value) - 1e-3).all()
    assert (found <= np.maximum(said.model, said.last_value) + 1e-3).all()


def test_a_calibration_brings_a_forecast_that_is_off_nearer(
    task: BenchTask, fitted: FittedShipped, said: Said
) -> None:
    high = Said(said.model + np.float32(5.0), said.last_value)
    low = Said(np.maximum(said.model - np.float32(5.0), 0), said.last_value)
    online = empty(task, is_hedged=False)
    assert issued(fitted, task, high, online).mean() < high.model.mean()
    assert issued(fitted, task, low, online).mean() > low.model.mean()


def test_nothing_is_learned_from_an_outcome_before_it_has_come(
    task: BenchTask, fitted: FittedShipped, said: Said
) -> None:
    origins = task.test_origins()
    cut = int(np.median(origins.position))

    def without_future(values: np.ndarray) -> np.ndarray:
        changed = values.copy()
        changed[cut + 1 :] *= 5.0
        return changed

    other = replace(
        task, series=tuple(replace(s, values=without_future(s.values)) for s in task.series)
    )
    before = issued(fitted, task, said, fitted.online)
    after = issued(fitted, other, said, fitted.online)
    past = origins.position <= cut
    np.testing.assert_array_equal(before[past], after[past])
    assert not np.array_equal(before[~past], after[~past])


def test_workloads_learn_on_one_clock_whenever_they_began(
    task: BenchTask, fitted: FittedShipped, said: Said
) -> None:
    later = replace(
        task,
        series=tuple(replace(s, start_s=s.start_s + 3600 * s.step_s) for s in task.series),
    )
    online = empty(task)
    np.testing.assert_array_equal(
        issued(fitted, task, said, online), issued(fitted, later, said, online)
    )


def test_what_is_served_rises_and_its_paths_follow(task: BenchTask, fitted: FittedShipped) -> None:
    origins = task.test_origins()
    found = fitted.predict(task, origins, 200, rng())
    assert (np.diff(found.quantiles, axis=2) >= 0).all()
    assert found.paths is not None
    assert (found.paths >= 0).all()
    median = found.quantiles[:, 0, LEVELS.size // 2]
    share = (found.paths <= median[:, None]).mean()
    assert share == pytest.approx(0.5, abs=0.02)
    assert fitted.n_parameters == fitted.model.n_parameters > 0


def test_a_peer_is_calibrated_as_harmony_is_and_nothing_is_mixed_in(task: BenchTask) -> None:
    peer = CalibratedArm(SimpleArm("trailing_percentile"))
    lines: list[str] = []
    found = peer.fit(task, 7, lines.append)
    assert lines[-1] == "calibration"
    assert found.online.hedge is None
    assert found.online.calibration is not None
    assert found.online.calibration.n_seen.all()
    assert found.n_parameters == 0
    origins = task.test_origins()
    raw = found.model.predict(task, origins, N_PATHS, rng())
    answer = found.predict(task, origins, N_PATHS, rng())
    said = Said(raw.quantiles, raw.quantiles)
    assert np.array_equal(answer.quantiles, issued(found, task, said, found.online))
    assert not np.array_equal(answer.quantiles, raw.quantiles)


def test_a_peer_without_paths_is_given_none(task: BenchTask) -> None:
    fitted = CalibratedArm(KnownLevelArm()).fit(task, 7, quiet)
    assert fitted.predict(task, task.test_origins(), N_PATHS, rng()).paths is None


def test_the_last_value_of_a_constant_demand_is_that_demand() -> None:
    task = bench_task([np.full(400, 10.0), np.full(400, 4.0)])
    origins = task.test_origins()
    found = last_value_quantiles(task, origins)
    assert found.shape == (origins.which.size, 1, LEVELS.size, task.window.horizon)
    level = np.array([10.0, 4.0])[origins.which]
    assert found == pytest.approx(np.broadcast_to(level[:, None, None, None], found.shape))
