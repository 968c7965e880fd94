"""What every source of indicators does; the fake is held to what a real Prometheus does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx
import numpy as np
import pytest

from services.ingest.series.prometheus import PrometheusSource
from services.ingest.series.samples import to_us
from services.ingest.series.source import RangeQuery, Source, SourceError
from tests.contract.ingest.prometheus_world import T0, FakeSource, prometheus_server


@pytest.fixture(scope="module")
def real_source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    with prometheus_server(tmp_path_factory.mktemp("prometheus")) as url:
        source = PrometheusSource(url)
        yield source
        source.close()


@pytest.fixture(params=["fake", "prometheus"])
def source(request: pytest.FixtureRequest) -> Source:
    if request.param == "fake":
        return FakeSource()
    found: Source = request.getfixturevalue("real_source")
    return found


def query(
    expression: str,
    from_s: float,
    to_s: float,
    resolution_s: int = 60,
    lookback_s: int | None = None,
) -> RangeQuery:
    start_at, end_at = T0 + timedelta(seconds=from_s), T0 + timedelta(seconds=to_s)
    return RangeQuery(expression, start_at, end_at, resolution_s, lookback_s)


def offsets_s(at_us: np.ndarray) -> list[float]:
    return ((at_us - to_us(T0)) / 1e6).tolist()


def test_values_from_start_to_end_inclusive(source: Source) -> None:
    points = source.fetch(query("sum(load)", 0, 60, 15))
    assert offsets_s(points.at_us) == [0, 15, 30, 45, 60]
    assert points.value.tolist() == [33.0, 30.0, 31.0, 32.0, 33.0]


def test_a_counter_is_given_as_it_is(source: Source) -> None:
    points = source.fetch(query("sum(tokens_total)", 1140, 1260))
    assert points.value.tolist() == [40.0 * 8330, 40.0 * 8390, 2000.0]


def test_a_time_without_samples_is_absent(source: Source) -> None:
    points = source.fetch(query("sum(load)", 1740, 3060))
    found = offsets_s(points.at_us)
    assert found == [1740, 1800, 1860, 1920, 1980, 2040, 3060]


def test_how_far_to_look_back_can_be_asked_for(source: Source) -> None:
    points = source.fetch(query("sum(load)", 1740, 3060, 15, lookback_s=15))
    found = offsets_s(points.at_us)
    assert found == [1740, 1755, 1770, 1785, 1800, 3015, 3030, 3045, 3060]


def test_no_such_metric_gives_nothing(source: Source) -> None:
    points = source.fetch(query("sum(no_such_metric)", 0, 600))
    assert (len(points.at_us), len(points.value)) == (0, 0)


def test_nan_stays_nan(source: Source) -> None:
    points = source.fetch(query("broken", 0, 120))
    assert len(points.value) == 3
    assert np.isnan(points.value).all()


def test_several_series_are_an_error_that_says_what_would_be_right(source: Source) -> None:
    with pytest.raises(SourceError, match=r"2 series.*sum") as caught:
        source.fetch(query("load", 0, 60))
    assert caught.value.reason == "several_series"


def test_a_wrong_expression_is_named(source: Source) -> None:
    with pytest.raises(SourceError, match="parenthesis") as caught:
        source.fetch(query("sum(load", 0, 60))
    assert caught.value.reason == "bad_query"


def test_more_points_than_one_answer_may_hold(source: Source) -> None:
    points = source.fetch(query("sum(load)", -3600, 1700 + 8700, 1))
    times = np.array(offsets_s(points.at_us))
    assert (np.diff(times) > 0).all()
    assert set(range(-3600, 1800)) | set(range(3005, 10401)) <= set(times.astype(int).tolist())


def test_an_empty_range_gives_nothing(source: Source) -> None:
    assert len(source.fetch(query("sum(load)", 60, 0)).at_us) == 0


def test_pods_are_told_apart_at_one_time(source: Source) -> None:
    found = source.fetch_series(query("sum by (pod) (last_over_time(load[60s]))", 60, 60))
    readings = {one.labels["pod"]: one.points.value.tolist() for one in found}
    assert readings == {"a": [13.0], "b": [20.0]}
    assert source.fetch_series(query("no_such_metric", 60, 60)) == []


def test_every_series_is_given_with_its_labels(source: Source) -> None:
    found = source.fetch_series(query("load", 0, 60, 15))
    assert len(found) > 1
    assert len({tuple(sorted(one.labels.items())) for one in found}) == len(found)
    total = sum(one.points.value for one in found)
    assert list(total) == [33.0, 30.0, 31.0, 32.0, 33.0]


class HastyTransport(httpx.HTTPTransport):
    """Tells the server to evaluate each query for 20 ms at most, whatever the client waits."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        form = request.content.decode().replace("timeout=10", "timeout=0.02")
        headers = {"Content-Type": request.headers["Content-Type"]}
        hasty = httpx.Request("POST", request.url, content=form.encode(), headers=headers)
        return super().handle_request(hasty)


def test_a_query_that_prometheus_gives_up_is_a_timeout(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    waits: list[float] = []
    with prometheus_server(tmp_path_factory.mktemp("hasty")) as url:
        source = PrometheusSource(url, transport=HastyTransport(), sleep=waits.append)
        with pytest.raises(SourceError) as caught:
            source.fetch(query("max_over_time(sum(load)[2h:1s])", 0, 9_000, 1))
        source.close()
    assert (caught.value.reason, waits) == ("timeout", [])
