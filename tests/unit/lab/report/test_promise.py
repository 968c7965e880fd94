"""The promise in words, tiles and rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from services.lab.report import headline
from services.lab.report.promise import (
    luck_line,
    over_by_luck,
    pool_rows,
    promise_rows,
    promise_tiles,
)
from tests.unit.lab.report.pages import R, felt, pooled


def test_the_headline_tells_the_promise_before_the_dollars(data):
    assert headline(felt(data)) == (
        "4 hours of 2 GPU services: 2 broke the promise of 1 % (HPA 1, trailing percentile 3), "
        "at 25.0% less cost than a tuned HPA"
    )
    assert headline(data) == "4 hours of 2 GPU services: 25.0% less cost than a tuned HPA"


def test_a_missing_rival_is_left_out_of_the_headline(data):
    scores = tuple(s for s in felt(data).scores if s.name != "trailing_percentile")
    assert "broke the promise of 1 % (HPA 1), at" in headline(replace(felt(data), scores=scores))
    alone = replace(data, scores=tuple(s for s in data.scores if s.name == "harmony"))
    assert headline(alone) == "4 hours of 2 GPU services"


def test_tiles_say_how_many_and_how_much_and_what_was_measured(data):
    over, share = promise_tiles(felt(data))
    assert (over["figure"], over["css"]) == ("2 of 2", "bad")
    assert over["more"] == "HPA 1, trailing percentile 3"
    assert (share["figure"], share["css"]) == ("0.80%", "good")
    assert share["more"] == "measured by Harmony 0.79%; promised at most 1 %"
    (only,) = promise_tiles(data)
    assert (only["name"], only["more"]) == ("Out of SLA, measured", "promised at most 1 %")
    rivals = tuple(s for s in data.scores if s.name != "harmony")
    assert promise_tiles(replace(data, scores=rivals)) == []


def test_rows_have_the_worst_service_first_and_the_broken_promises_marked(data):
    assert promise_rows(data) == []
    scores = tuple(
        replace(s, workload_violation_rate=np.array([0.002, 0.014])) if s.name == "harmony" else s
        for s in felt(data).scores
    )
    worst, best = promise_rows(replace(felt(data), scores=scores))
    assert (worst["name"], best["name"]) == ("ns/b", "ns/<a>")
    assert (worst["bears"], best["bears"]) == ("1.10 to 0.90", "0.80")
    assert (worst["harmony"], worst["harmony_css"]) == ("1.40%", "bad")
    assert (best["harmony"], best["harmony_css"]) == ("0.20%", "")
    assert (worst["measured"], worst["hpa"], worst["hpa_css"]) == ("0.99%", "2.00%", "bad")


def test_a_service_with_pools_is_one_row_that_tells_what_each_bears(data):
    rows = {row["name"]: row for row in promise_rows(pooled(data))}
    assert rows["ns/b"]["bears"] == "decode 1.10 to 0.90, prefill 0.80"
    assert rows["ns/<a>"]["bears"] == "0.80"


def test_pools_stand_beside_what_each_policy_held_of_them(data):
    assert pool_rows(felt(data)) == []
    decode, prefill = pool_rows(pooled(data))
    assert (decode["service"], decode["pool"], prefill["pool"]) == ("ns/b", "decode", "prefill")
    assert (decode["bears"], prefill["bears"]) == ("1.10 to 0.90", "0.80")
    assert (decode["oracle"], decode["hpa"], decode["harmony"]) == ("7", "8", "9")
    stated = replace(pooled(data).pools[0], first_ratio=None, last_ratio=None)
    assert pool_rows(replace(data, pools=(stated,)))[0]["bears"] == "–"


@pytest.mark.parametrize(("n", "epsilon"), [(288, 0.01), (144, 0.01), (100, 0.05), (300, 0.01)])
def test_luck_alone_leaves_so_many_over_the_promise(n, epsilon):
    shares = np.arange(n + 1) / n
    expected = binom.pmf(np.arange(n + 1), n, epsilon)[shares > epsilon + 1e-12].sum()
    assert over_by_luck(n, epsilon) == pytest.approx(expected)


def test_the_luck_of_few_steps_is_told(data):
    share = binom.sf(0, R, 0.01)  # one bad step of 48 is over 1 %
    assert f"{R} steps are few" in luck_line(data)
    assert f"with a chance of {share:.0%}" in luck_line(data)
