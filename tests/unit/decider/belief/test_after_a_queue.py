"""What a queue that was worked off teaches: nothing of a load that is low again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from decider.belief.miss_learning import learn_misses
from decider.belief.miss_prior import MissPrior
from decider.belief.miss_steps import behind_a_queue, queue_steps
from decider.belief.miss_update import MissUpdate
from decider.types import BoolArray, FloatArray
from tests.unit.decider.belief.miss_truth import N_DRAWS, response

STEP_S, RATE, STATED = 15.0, 3.0, 1.0
"""Three requests a second of a service of which a replica is stated to serve one."""
ERROR, SLOPE = -0.6, 9.0
"""What it does serve: 0.4, where 5 % miss."""
N_FEW, FEW_FROM, FEW_TO = 3, 6, 14
N_REPLICAS = 9
WITHIN = 0.01


@dataclass(frozen=True, slots=True)
class QueuedSteps:
    """Steps of a service whose replicas were too few for two minutes; (N,) each."""

    load: FloatArray
    missed: FloatArray
    total: FloatArray
    waiting: FloatArray

    def left_out(self) -> BoolArray:
        """Those behind a queue."""
        back = range(1 + queue_steps(STEP_S))
        shifted = [np.concatenate([np.zeros(k), self.waiting])[: self.load.size] for k in back]
        return behind_a_queue(self.total, np.stack(shifted, axis=1))

    def learn(self, chosen: BoolArray) -> MissUpdate:
        """The response that some of them teach."""
        columns = (self.load[chosen], self.missed[chosen], self.total[chosen])
        return learn_misses(MissPrior.stated(STATED, 0.0, 0.05), *columns, n_draws=N_DRAWS)


def served(n_steps: int, seed: int) -> QueuedSteps:
    """Requests are served in the order of their arrival; one that waited a step misses."""
    rng = np.random.default_rng(seed)
    truth = response(ERROR, SLOPE)
    scale = STATED / 10.0  # `response` is of a stated capacity of ten
    rows, queue = [], 0.0
    for step in range(n_steps):
        n = float(N_FEW if FEW_FROM <= step < FEW_TO else N_REPLICAS)
        arrived = float(rng.poisson(RATE * STEP_S))
        load = arrived / STEP_S / n
        ended = min(queue + arrived, np.ceil(float(truth.capacity[0]) * scale * STEP_S * n))
        waited = min(queue, ended)
        share = float(np.clip(truth.miss(np.array([load / scale]))[0, 0], 0.0, 1.0))
        missed = waited + float(rng.binomial(int(ended - waited), share))
        queue += arrived - ended
        rows.append((load, missed, ended, queue))
    return QueuedSteps(*np.array(rows).T)


def need(update: MissUpdate) -> float:
    """Replicas that keep all but 1 % of the requests within the goal."""
    return RATE / float(np.median(update.draws.load_within(WITHIN)))


@pytest.mark.parametrize("seed", range(4))
def test_two_bad_minutes_are_not_feared_for_half_an_hour(seed: int) -> None:
    steps = served(120, seed)
    truth = RATE / (float(response(ERROR, SLOPE).load_within(WITHIN)[0]) * STATED / 10.0)
    left_out = steps.left_out()
    assert 5 <= left_out.sum() <= 15
    told, feared = steps.learn(~left_out), steps.learn(np.ones_like(left_out))
    assert 0.85 * truth < need(told) < 1.15 * truth
    # What the same steps teach where the queue is taken for what the load did.
    assert need(feared) > 1.2 * need(told)


@pytest.mark.parametrize("seed", range(4))
def test_shares_missed_scatter_no_more_than_they_do(seed: int) -> None:
    """A response that is to explain a queue says that of any step all or none may miss."""
    steps = served(40, seed)
    left_out = steps.left_out()
    told, feared = steps.learn(~left_out), steps.learn(np.ones_like(left_out))
    assert np.median(told.draws.concentration) > 40.0  # the truth is 80
    assert np.median(feared.draws.concentration) < 4.0


def test_steps_in_which_a_queue_grows_stay() -> None:
    steps = served(40, 0)
    grows = np.flatnonzero(np.diff(np.concatenate([[0.0], steps.waiting])) > 0)
    assert grows.size >= 5
    assert not steps.left_out()[grows].any()
