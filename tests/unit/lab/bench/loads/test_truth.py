"""What requests feel: replicas that land within a step serve from then on."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.loads.task import LoadTask
from services.simulator.replicas import GridReplicas
from tests.unit.lab.bench.loads.small import load_task

TASK = load_task(lead_median_steps=0.25)


def replicas(task: LoadTask, count: int) -> GridReplicas:
    course = task.decide.course
    found = GridReplicas(course, 1)
    found.scale(np.full((1, 3), count), course.start_s)
    return found


def mean_at(task: LoadTask, counts: np.ndarray, t: int) -> np.ndarray:
    load = task.truth.loads[:, :, t] / counts[:, None]
    return task.truth.response.mean(load, np.arange(3))


def test_standing_replicas_share_the_loads() -> None:
    course = TASK.decide.course
    found = replicas(TASK, 5)
    missed = TASK.truth.mean_missed(found, 0, course.start_s, course.start_s + course.step_s)
    assert missed[0] == pytest.approx(mean_at(TASK, np.full(3, 5.0), 0))


def test_a_start_serves_from_when_it_lands() -> None:
    course = TASK.decide.course
    before = course.initial.astype(float)
    found = replicas(TASK, 100)
    missed = TASK.truth.mean_missed(found, 0, course.start_s, course.start_s + course.step_s)
    expected = 0.25 * mean_at(TASK, before, 0) + 0.75 * mean_at(TASK, np.full(3, 100.0), 0)
    assert missed[0] == pytest.approx(expected)


def test_as_many_as_needed_miss_what_is_tolerated() -> None:
    need = TASK.truth.need()
    response = TASK.truth.response
    missed = mean_at(TASK, need[:, 7], 7)
    alone = np.stack([response.capacity[:, 0], np.zeros(3), np.zeros(3)], axis=1)
    assert missed == pytest.approx(response.mean(alone, np.arange(3)))
