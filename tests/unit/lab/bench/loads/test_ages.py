"""What is known of a response some steps after it last changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decider import MissDraws
from services.lab.bench.decide.truth import GOOD_SHARE
from services.lab.bench.loads.ages import N_DRAWS, learned_after
from services.lab.bench.loads.arms import FULL, load_arms
from tests.unit.lab.bench.loads.small import NAMES, load_task

TASK, ARMS = load_task(60), load_arms(NAMES)


def held_before(n_steps: int, factor: float = 1.0) -> np.ndarray:
    """(W, n_steps) what is needed right before the counted part, times a factor."""
    stop = TASK.decide.n_prelude
    return factor * TASK.truth.need()[:, stop - n_steps : stop]


def use(responses: tuple[MissDraws, ...]) -> np.ndarray:
    """(W, P) mean learned over true use in the counted part."""
    found = []
    for w, draws in enumerate(responses):
        loads = TASK.truth.loads[w, :, TASK.decide.n_prelude :].T
        own = draws.equivalent(loads) / draws.load_within(1.0 - GOOD_SHARE)[:, None]
        found.append((own / TASK.truth.need()[w, TASK.decide.n_prelude :]).mean(axis=1))
    return np.array(found)


def test_at_first_only_what_is_stated_is_known() -> None:
    found = learned_after(TASK, held_before(0), ARMS[FULL])
    assert [one.capacity.size for one in found] == [N_DRAWS] * 3
    doubled = learned_after(replace(TASK, stated=2 * TASK.stated), held_before(0), ARMS[FULL])
    np.testing.assert_allclose(doubled[1].capacity, 2 * found[1].capacity)


def test_steps_at_the_limit_teach_the_response() -> None:
    before, after = (use(learned_after(TASK, held_before(n), ARMS[FULL])) for n in (0, 25))
    assert (after.std(axis=1) < 0.5 * before.std(axis=1)).all()
    assert np.abs(np.log(after).mean(axis=1)).max() < 0.15


def test_a_mean_has_no_spread() -> None:
    found = learned_after(TASK, held_before(10), ARMS["posterior_mean"])
    assert [one.capacity.size for one in found] == [1] * 3


def test_steps_without_load_or_replicas_teach_nothing() -> None:
    nothing = learned_after(TASK, held_before(5, 0.0), ARMS[FULL])
    for one, other in zip(nothing, learned_after(TASK, held_before(0), ARMS[FULL]), strict=True):
        assert one.capacity == pytest.approx(other.capacity)
