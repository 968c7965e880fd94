"""Reports of a fleet's indicators to the platform."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from services.lab.demo.measure import Reporter
from services.simulator.engine.specs import Interval
from services.simulator.fleet import Fleet, FleetOptions, generate_fleet, unsplit, with_pools
from services.simulator.fleet.meters import ServiceMeters
from services.simulator.request_meters import RequestMeters
from services.simulator.served_fleet import draw_served_fleet


def make_reporter(fleet: Fleet) -> Reporter:
    ready = np.full((fleet.n_workloads, fleet.n_history), 4.0)
    return Reporter(fleet, ServiceMeters(fleet, ready))


def small() -> Fleet:
    options = FleetOptions(seed=3, n_workloads=2, step_s=600, n_history=12, n_replay=3)
    return replace(generate_fleet(options), has_closed_loop=False)


def test_the_history_leaves_out_its_last_step_which_is_pushed() -> None:
    fleet = small()
    reporter = make_reporter(fleet)
    history = reporter.history()
    assert history.start_at == fleet.step_at(0)
    assert [one.values.shape[0] for one in history.workloads] == [11, 11]
    pushed = reporter.last_of_history()
    n_observed = int(fleet.observed[:, 11].sum())
    assert len(pushed) == n_observed
    first = pushed[0]
    (sample,) = first["samples"]
    assert sample == [fleet.start_s + 11.5 * 600, float(fleet.values[0, 11, 0])]
    assert (first["namespace"], first["workload"]) == (
        fleet.workloads[0].namespace,
        fleet.workloads[0].name,
    )


def test_the_history_has_what_was_kept_of_its_requests() -> None:
    fleet = small()
    kept = {"sli_ready": np.full((2, 12), 4.0), "sli_lost": np.zeros((2, 12))}
    kept["sli_ready"][1] = np.nan
    ready = np.full((2, 12), 4.0)
    history = Reporter(fleet, ServiceMeters(fleet, ready), past=kept).history()
    first, second = history.workloads
    assert first.indicators[-2:] == ("sli_ready", "sli_lost")
    assert first.values[:, -2].tolist() == [4.0] * 11
    assert first.observed[:, -2:].all()
    assert not second.observed[:, -2].any()


def test_what_was_not_observed_is_not_reported() -> None:
    fleet = small()
    observed = fleet.observed.copy()
    observed[1] = False
    reporter = make_reporter(replace(fleet, observed=observed))
    pieces = [[Interval(0, 600, 4, 4)]] * 2
    names = {one["workload"] for one in reporter(12, pieces)}
    assert names == {fleet.workloads[0].name}


def test_counts_are_read_at_the_ends_of_steps_from_the_replays_start_on() -> None:
    fleet = small()
    ready = np.full((fleet.n_workloads, fleet.n_history), 4.0)
    meters = ServiceMeters(fleet, ready)
    reporter = Reporter(fleet, meters, RequestMeters(draw_served_fleet(unsplit(fleet))))
    key = fleet.workloads[0].name

    def samples(observations: list[dict[str, Any]]) -> dict[str, list[float]]:
        return {
            one["indicator"]: one["samples"][0]
            for one in observations
            if one["workload"] == key and one["indicator"].startswith("sli_")
        }

    start_s = float(fleet.replay_start_s)
    begin = samples(reporter.last_of_history())
    names = ("sli_ttft_total", "sli_ttft_good", "sli_lost")
    assert begin == {name: [start_s, 0.0] for name in names}
    first = samples(reporter(fleet.n_history, [[Interval(0, 600, 500, 500)]] * 2))
    assert set(first) == {*names, "sli_waiting"}
    assert {first[name][0] for name in names} == {start_s + 600}
    assert first["sli_waiting"][0] == start_s + 300
    assert first["sli_ttft_total"][1] >= first["sli_ttft_good"][1] > 0


def test_requests_that_wait_at_a_pool_are_pushed_of_the_service() -> None:
    options = FleetOptions(seed=3, n_workloads=2, step_s=600, n_history=12, n_replay=3)
    scaled = with_pools(generate_fleet(options))
    fleet = scaled.services
    meters = ServiceMeters(fleet, np.full((fleet.n_workloads, fleet.n_history), 4.0))
    reporter = Reporter(fleet, meters, RequestMeters(draw_served_fleet(scaled)))
    pieces = [[Interval(0, 600, n, n)] for n in (500, 500, 0)]  # no prefill is ready
    pushed = reporter(fleet.n_history, pieces)
    waiting = {
        one["workload"]: one["samples"][0][1] for one in pushed if one["indicator"] == "sli_waiting"
    }
    short, other = (workload.name for workload in fleet.workloads)
    assert waiting[short] > 1 > waiting[other]
    assert {one["workload"] for one in pushed} == {short, other}
