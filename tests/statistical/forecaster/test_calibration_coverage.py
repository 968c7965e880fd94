"""Warm-started online calibration on public traces: coverage at no cost in sharpness; speed.

`pytest tests/statistical/forecaster/test_calibration_coverage.py -s` prints the figures. The
forecaster is the best simple one, so that nothing is trained and nothing sampled: on another
processor the figures differ by rounding, and the bounds need no margin for chance. The docs' tables
come from `harmony bench forecast`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from forecaster.metrics import crps_of_quantiles, pinball
from forecaster.online.calibration import Calibration
from forecaster.online.learner import Outcome
from forecaster.online.replay import replay
from services.kernel.clock import make_rng
from services.lab.bench.forecast.own_arms import SimpleArm
from services.lab.bench.forecast.task import BenchTask, Protocol, load_task
from tests.processor import slowness
from tests.unit.forecaster.online.records import LEVELS, forecast_of

pytestmark = pytest.mark.slow

UPPER = (0.95, 0.98, 0.99, 0.995)
HISTORY_RATIO = 0.8
SEED = 7


def without_its_test_part(task: BenchTask) -> BenchTask:
    """The first 80 % of each series, cut again: rates were chosen there, and are tested there."""
    series = tuple(s.head(round(HISTORY_RATIO * s.n_steps)) for s in task.series)
    return replace(
        task,
        series=series,
        train_ends=tuple(round(0.7 * s.n_steps) for s in series),
        validation_ends=tuple(round(0.8 * s.n_steps) for s in series),
    )


def neutral_share(quantiles: np.ndarray, actual: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Share below each level `(Q,)`; a value equal to the quantile counts as the level itself."""
    tied = actual[:, None] == quantiles
    below = np.where(tied, LEVELS[:, None], actual[:, None] < quantiles)
    return np.array([below[:, k][seen].mean() for k in range(LEVELS.size)])


@pytest.mark.parametrize("name", ["servegen", "worldcup98"])
def test_coverage_comes_near_nominal_and_the_tail_gets_sharper(traces: Path, name: str) -> None:
    task = load_task(traces / f"{name}.parquet", Protocol.PANEL, max_origins=500)
    task = without_its_test_part(task)
    fitted = SimpleArm().fit(task, SEED, lambda _line: None)
    names = [s.workload for s in task.series]
    calibration = Calibration(LEVELS)
    state = calibration.empty_state(names)
    for origins in (task.validation_origins(), task.test_origins()):
        raw = fitted.predict(task, origins, 1, make_rng(SEED, "calibration")).quantiles[:, 0]
        truth = task.truth(origins)
        actual, seen = truth.actual[:, 0], truth.observed[:, 0]
        forecast = forecast_of(raw, [names[i] for i in origins.which], origins.position)
        answer, state = replay(calibration, state, forecast, Outcome(actual, seen))
        issued = answer.quantiles
    shares, losses = [], []
    unit = task.units[origins.which].astype(np.float32)
    for quantiles in (raw, issued):
        shares.append(neutral_share(quantiles, actual, seen))
        loss = pinball(quantiles, LEVELS, actual) / unit[:, None]
        crps = crps_of_quantiles(quantiles, LEVELS, actual) / unit
        losses.append([crps[seen].mean(), *(loss[:, at(v)][seen].mean() for v in UPPER)])
    before, after = (np.abs(share - LEVELS) for share in shares)
    ratios = np.array(losses[1]) / np.array(losses[0])
    shown = [at(v) for v in UPPER]
    print(f"\n{name}: share below {UPPER}: {shares[0][shown].round(4)} -> ", end="")
    print(f"{shares[1][shown].round(4)}; CRPS and pinball ratios {ratios.round(3)}")
    for width, allowed in ((0.8, 0.04), (0.99, 0.015)):
        low, high = at((1 - width) / 2), at((1 + width) / 2)
        print(f"central {width:.0%}: {[float((s[high] - s[low]).round(4)) for s in shares]}")
        assert abs(shares[1][high] - shares[1][low] - width) < allowed
    assert after[at(0.99)] < before[at(0.99)]
    assert after[at(0.99)] < 0.008
    assert ratios[0] < 1.02
    assert ratios[1:].max() < 1.0


def at(level: float) -> int:
    return int(np.argmin(np.abs(LEVELS - level)))


def test_ten_thousand_workloads_are_calibrated_in_two_seconds() -> None:
    n_rows, n_paths, horizon = 10_000, 100, 12
    rng = np.random.default_rng(SEED)
    names = tuple(str(i) for i in range(n_rows))
    quantiles = np.sort(rng.gamma(2, 10, (n_rows, LEVELS.size, horizon)), axis=1)
    paths = rng.gamma(2, 10, (n_rows, n_paths, horizon)).astype(np.float32)
    raw = forecast_of(quantiles, names, paths=paths)
    calibration = Calibration(LEVELS)
    actual = rng.gamma(2, 10, (n_rows, horizon)).astype(np.float32)
    outcome = Outcome(actual, np.ones(actual.shape, dtype=bool))
    state = calibration.observe(calibration.empty_state(names), raw, outcome)
    took = []
    for _ in range(3):
        started = time.process_time()
        calibration.apply(state, raw)
        took.append(time.process_time() - started)
    print(f"\n10,000 workloads x 100 paths x 12 steps: {min(took):.2f} s of one core")
    assert min(took) < 2.0 * slowness()
