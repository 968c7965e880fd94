"""What is forecast of each series."""

from __future__ import annotations

from dataclasses import replace

from forecaster.targets import MAX_JOINT, joint_names, target_table
from forecaster.types import Series
from tests.unit.forecaster.conftest import make_loaded, make_series, small_config


def test_without_further_loads_only_the_demand_is_forecast(fleet: list[Series]) -> None:
    assert joint_names(fleet) == ()
    assert target_table(fleet, small_config()).tolist() == [[0]] * 3


def test_every_further_load_has_its_place_and_a_series_may_lack_it(loaded: list[Series]) -> None:
    assert joint_names(loaded) == ("input_tps", "output_tps")
    table = target_table(loaded, small_config())
    assert table.tolist() == [[0, 1, 2], [0, 1, 2], [0, -1, 2], [0, -1, -1]]


def test_of_too_many_names_the_most_used_are_joint_and_the_rest_come_after() -> None:
    one = make_loaded(0)
    names = [("d", "b", "a"), ("d", "c", "b"), ("d", "e", "f")]
    series = [replace(one, workload=f"w{i}", indicators=own) for i, own in enumerate(names)]
    assert joint_names(series) == ("a", "b", "c")
    assert len(joint_names(series)) == MAX_JOINT
    table = target_table(series, small_config())
    # The demand, a, b, c, then what is left: `e` and `f` of the last one.
    assert table.tolist() == [
        [0, 2, 1, -1, -1, -1],
        [0, -1, 2, 1, -1, -1],
        [0, -1, -1, -1, 1, 2],
    ]


def test_all_indicators_may_be_asked_for() -> None:
    series = [make_series(0), make_series(1, names=("request_rate_rps",))]
    assert target_table(series, small_config(targets="all")).tolist() == [[0, 1, 2], [0, -1, -1]]
