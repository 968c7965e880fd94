"""The page of a backtest: what it says, and that it needs nothing from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.backtest.equal_violation import EqualViolation
from services.backtest.frontier import PolicyFrontier
from services.backtest.page import render_page, write_page
from services.backtest.predictors import Trained
from services.backtest.study import PromiseResult, Study
from services.kernel.errors import InvalidInput
from services.simulator.fleet import Fleet
from tests.unit.backtest.test_study import scored
from tests.unit.kernel.full_disk import full_disk


@pytest.fixture
def study(fleet: Fleet, simple: Trained) -> Study:
    scores = (scored("harmony", 90.0, 0.008), scored("hpa", 100.0, 0.02))
    rate, cost = np.array([0.001, 0.1]), np.array([90.0, 60.0])
    curve = PolicyFrontier(
        "harmony", ("a", "b"), rate, cost, rate, rate[:, None], cost[:, None], rate
    )
    matched = EqualViolation(0.01, "hpa", True, 0.9, 0.85, 0.95)
    named = replace(fleet, label="<b>mine</b>")
    return Study(named, simple, (PromiseResult(0.01, scores),), (curve,), (matched,), None)


def test_the_verdicts_come_first_and_who_broke_the_promise_is_said(study: Study) -> None:
    page = render_page(study, ["read 9 rows"])
    assert page.index("Harmony is cheaper: -10.0% against hpa") < page.index("<table>")
    assert page.index("As deployed") < page.index("<table>")
    rows = re.findall(r"<tr(?: class=\"ours\")?><td>(\w+)</td><td class=\"(\w+)\">", page)
    assert rows == [("harmony", "good"), ("hpa", "bad")]
    assert "2.00% (broken)" in page
    assert "read 9 rows" in page


def test_dollars_of_a_month_follow_from_the_replay(study: Study) -> None:
    months = 730.0 / study.fleet.replay_hours
    assert f"<td>{90.0 * months:,.0f}</td>" in render_page(study, [])


def test_it_loads_nothing_and_escapes_names(study: Study) -> None:
    page = render_page(study, ["<script>alert(1)</script>"])
    assert "<script" not in page
    assert "<b>mine" not in page
    assert not re.search(r"(src|href)=[\"'](?!#)", page)
    assert "url(http" not in page


def test_the_same_study_gives_the_same_page(study: Study) -> None:
    assert render_page(study, []) == render_page(study, [])


def test_a_page_that_finds_no_room_leaves_the_old_one_and_is_told(
    study: Study, tmp_path: Path
) -> None:
    file = tmp_path / "mine.html"
    file.write_text("old")
    with full_disk(1000), pytest.raises(InvalidInput, match=r"mine\.html: cannot be written: "):
        write_page(study, [], file)
    assert file.read_text() == "old"
