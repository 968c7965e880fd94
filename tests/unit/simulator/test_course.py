"""Courses: need, capacity, and what policies are shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.unit.simulator.courses import make_course

NAN = float("nan")


def test_the_need_follows_the_true_capacity_and_is_zero_where_demand_is_unknown() -> None:
    course = replace(
        make_course([[4.0, NAN, 3.0]]),
        capacity=np.array([2.0]),
        capacity_factor=np.array([[1.0, 1.0, 0.5]]),
    )
    assert (course.n_workloads, course.n_steps) == (1, 3)
    assert course.true_capacity().tolist() == [[2.0, 2.0, 1.0]]
    assert course.need().tolist() == [[2.0, 0.0, 3.0]]


def test_policies_are_shown_the_measured_demand_of_live_workloads() -> None:
    plain = make_course([[1.0, 2.0]])
    course = replace(plain, history=np.array([[7.0]]), is_live=np.array([[True, False]]), seen=None)
    np.testing.assert_array_equal(course.measured(), [[7.0, 1.0, NAN]])
    other = replace(course, seen=np.array([[5.0, 6.0]]))
    np.testing.assert_array_equal(other.measured(), [[7.0, 5.0, NAN]])


def test_policies_are_told_the_stated_capacity_unless_the_course_says_another() -> None:
    course = replace(
        make_course([[4.0, 3.0]]), capacity=np.array([2.0]), capacity_factor=np.array([[1.0, 0.5]])
    )
    assert course.told_capacity().tolist() == [[2.0, 2.0]]
    assert not course.is_truth_told()
    told = replace(course, told_factor=course.capacity_factor)
    assert told.told_capacity().tolist() == [[2.0, 1.0]]
    assert told.is_truth_told()


def test_one_function_says_what_is_measured() -> None:
    true, believed = np.array([[1.0]]), np.array([[0.25]])
    course = make_course([[4.0]])
    assert course.measured_violation(true, believed) is true
    assert replace(course, is_truth_measured=False).measured_violation(true, believed) is believed
