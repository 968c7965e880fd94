"""What charts draw, read back from their SVG."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from services.lab.report.charts import (
    allocation_chart,
    bars_chart,
    fan_chart,
    savings_chart,
    workload_rows,
)
from services.lab.report.data import ReportData, label_of
from tests.unit.lab.report.pages import R, score

BAR = re.compile(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" [^>]*class="bar (\w+)"')
VALUE = re.compile(r'<text x="([\d.]+)"[^>]*class="value"[^>]*>([^<]+)<')


def bars(svg: str) -> dict[str, tuple[float, float, float]]:
    """Left end, top and width of every bar, by policy."""
    return {name: (float(x), float(y), float(w)) for x, y, w, name in BAR.findall(svg)}


def lines_of(svg: str, css: str) -> list[dict[str, str]]:
    """Attributes of the elements of a class."""
    tags = re.findall(rf'<(?:line|path)[^>]*class="{css}"[^>]*>', svg)
    return [dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) for tag in tags]


def points(d: str) -> np.ndarray:
    """(N, 2) points of a path of absolute coordinates; only for moves and lines to points."""
    pairs = re.findall(r"[ML]?\s*(-?[\d.]+)[ ,](-?[\d.]+)", d)
    return np.array([[float(x), float(y)] for x, y in pairs])


def scores_of(data: ReportData, names: Iterable[str]) -> ReportData:
    return replace(data, scores=tuple(s for s in data.scores if s.name in set(names)))


def test_bars_are_as_long_as_what_they_cost(data: ReportData) -> None:
    svg = bars_chart(data, "cost")
    found = bars(svg)
    cost = {s.name: s.cost_usd for s in data.scores}
    assert set(found) == set(cost)
    unit = found["static_peak"][2] / cost["static_peak"]
    for name, (_, _, width) in found.items():
        assert width == pytest.approx(unit * cost[name], abs=0.06)
    assert "480 USD" in svg  # 60 GPUs for four hours at two dollars
    assert 'class="promise"' not in svg


def test_bars_stand_below_each_other_with_their_value_to_the_right(data: ReportData) -> None:
    svg = bars_chart(data, "cost")
    found = bars(svg)
    assert list(found) == [s.name for s in data.ordered()]
    tops = [y for _, y, _ in found.values()]
    assert np.diff(tops) == pytest.approx(np.full(len(tops) - 1, 34.0))
    ends = [x + width for x, _, width in found.values()]
    values = [float(x) for x, _ in VALUE.findall(svg)]
    assert values == pytest.approx([end + 7 for end in ends], abs=0.06)
    assert all(label_of(s.name) in svg for s in data.scores)


def test_rates_have_a_line_at_the_promise(data: ReportData) -> None:
    svg = bars_chart(data, "violation")
    found = bars(svg)
    (line,) = lines_of(svg, "promise")
    # harmony violates 0.8 % of the time: its bar ends at four fifths of the promise
    left, _, width = found["harmony"]
    assert line["x1"] == line["x2"]
    promise = float(line["x1"]) - left
    assert width == pytest.approx(0.8 * promise, abs=0.2)
    assert found["hpa"][2] == pytest.approx(2 * promise, abs=0.3)
    assert found["oracle"][2] == 0
    assert "promised ≤ 1 %" in svg


def test_an_unknown_rate_has_no_bar(data: ReportData) -> None:
    unknown = replace(
        data,
        scores=tuple(
            replace(s, violation_rate=float("nan")) if s.name == "hpa" else s for s in data.scores
        ),
    )
    found = bars(bars_chart(unknown, "violation"))
    assert found["hpa"][2] == 0
    assert found["harmony"][2] > 0


def test_bars_are_named_for_who_cannot_see_them(data: ReportData) -> None:
    assert "Cost of each policy" in bars_chart(data, "cost")
    assert "Time out of SLA of each policy" in bars_chart(data, "violation")


def test_allocations_leave_out_the_oracle_and_draw_harmony_on_top(data: ReportData) -> None:
    svg = allocation_chart(data)
    drawn = re.findall(r'class="series (\w+)"', svg)
    assert drawn[-1] == "harmony"
    assert set(drawn) == {"harmony", "hpa", "trailing_percentile", "static_peak"}
    assert svg.count('class="needed"') == 1
    height = {
        name: points(path["d"])[0, 1] for name in drawn for path in lines_of(svg, f"series {name}")
    }
    # more GPUs stand higher, in proportion
    step = height["harmony"] - height["hpa"]
    assert step > 0
    assert height["hpa"] - height["static_peak"] == pytest.approx(2 * step, abs=0.3)


def test_what_was_saved_adds_up_to_the_difference_in_cost(data: ReportData) -> None:
    svg = savings_chart(data)
    drawn = re.findall(r'class="series (\w+)"', svg)
    assert set(drawn) == {"hpa", "trailing_percentile", "static_peak"}
    # 10, 5 and 30 GPUs for four hours at two dollars
    for amount, name in (("+80 USD", "hpa"), ("+40 USD", "trailing_percentile")):
        assert re.search(rf'class="value ink-{name}"[^>]*>{re.escape(amount)}<', svg)
    assert "+240 USD" in svg
    assert "vs tuned HPA" in svg
    for name in drawn:
        (path,) = lines_of(svg, f"series {name}")
        along = points(path["d"])
        assert (np.diff(along[:, 0]) > 0).all()
        assert (np.diff(along[:, 1]) < 0).all()  # up on the page


def test_a_loss_is_drawn_below_a_line_at_zero(data: ReportData) -> None:
    cheaper = replace(data, scores=(*data.scores, score("hpa_clipped", 20, 0.0)))
    losing = scores_of(cheaper, ("harmony", "hpa_clipped"))
    svg = savings_chart(losing)
    assert "-80 USD" in svg
    (path,) = lines_of(svg, "series hpa_clipped")
    along = points(path["d"])
    assert (np.diff(along[:, 1]) > 0).all()
    zero = [line for line in lines_of(svg, "axis") if line.get("y1") == line.get("y2")]
    assert any(float(line["y1"]) == pytest.approx(along[0, 1], abs=0.1) for line in zero)


def test_labels_of_savings_that_nearly_agree_do_not_overlap(data: ReportData) -> None:
    svg = savings_chart(data)
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)"[^>]*class="value ink', svg))
    assert len(heights) == 3
    assert (np.diff(heights) >= 29.9).all()


def test_without_harmony_or_a_rival_nothing_was_saved(data: ReportData) -> None:
    assert savings_chart(scores_of(data, ("hpa", "static_peak"))) == ""
    assert savings_chart(scores_of(data, ("harmony", "oracle"))) == ""


def test_a_fan_has_a_band_per_pair_of_levels(data: ReportData) -> None:
    svg = fan_chart(data.fans[0])
    assert svg.count('class="fan"') == 2
    assert "quantiles 0.05–0.95" in svg
    assert "quantiles 0.25–0.75" in svg
    for css in ("median", "demand", "ready"):
        assert svg.count(f'class="{css}"') == 1
    bare = fan_chart(replace(data.fans[0], ready_capacity=None))
    assert 'class="ready"' not in bare


def test_one_wild_quantile_does_not_flatten_the_rest(data: ReportData) -> None:
    fan = data.fans[0]
    wild = fan.quantiles.copy()
    wild[-1] = 1e6
    tame = replace(fan, quantiles=np.minimum(wild, 200.0))

    def demand_path(svg: str) -> str:
        return lines_of(svg, "demand")[0]["d"]

    # cut at twice of what was seen, both are drawn alike
    assert demand_path(fan_chart(replace(fan, quantiles=wild))) == demand_path(fan_chart(tame))


def test_workloads_are_set_against_the_rivals(data: ReportData) -> None:
    scores = (
        score("harmony", 30, 0.008, workload_hours=(9.0, 30.0)),
        score("hpa", 40, 0.02, workload_hours=(10.0, 20.0)),
        score("trailing_percentile", 35, 0.01, workload_hours=(0.0, 60.0)),
    )
    first, second = workload_rows(replace(data, scores=scores))
    assert (first["name"], second["name"]) == data.workloads
    assert (first["hpa"], second["hpa"]) == ("-10 %", "+50 %")
    assert (first["trailing_percentile"], second["trailing_percentile"]) == ("–", "-50 %")
    assert (first["gpu_hours"], second["gpu_hours"]) == ("9", "30")
    assert "0.8" in first["violation"]


def test_without_harmony_there_are_no_rows_and_without_a_rival_a_dash(data: ReportData) -> None:
    assert workload_rows(scores_of(data, ("hpa",))) == []
    rows = workload_rows(scores_of(data, ("harmony",)))
    assert [row["hpa"] for row in rows] == ["–", "–"]


def test_time_runs_over_all_steps(data: ReportData) -> None:
    svg = allocation_chart(data)
    xs = points(lines_of(svg, "series harmony")[0]["d"])[:, 0]
    assert data.needed_gpus.size == R
    assert (np.diff(xs) >= 0).all()
