"""Series claim their indicators all at once as they do one after the other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from services.ingest.remote_write.claims import Mapping, claim, claim_all, series_of
from services.ingest.remote_write.protocol import Version, decode
from services.ingest.remote_write.wire import RequestLimits
from services.ingest.series.owners import SeriesOwners
from services.ingest.series.rules import DEFAULT_RULES
from services.ingest.series.samples import Rejections
from tests.unit.ingest.remote_requests import Series, body_v1, indicator

NOW_MS = 1_767_571_200_000
names = st.sampled_from(["rps", "queue", "sli_lost"])
labels = st.one_of(
    st.builds(
        lambda name, workload, namespace, pod, replica: indicator(
            name, workload, namespace=namespace, pod=pod, replica=replica
        ),
        names,
        st.sampled_from(["w0", "w1"]),
        st.sampled_from(["shop", "other"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["0", "1"]),
    ),
    st.just({"__name__": "up"}),
)
samples = st.lists(
    st.tuples(st.integers(NOW_MS - 900_000, NOW_MS + 900_000), st.just(1.0)), max_size=3
)
requests = st.lists(st.lists(st.tuples(labels, samples), max_size=8), min_size=1, max_size=4)


@settings(max_examples=200)
@given(requests, st.sampled_from([None, frozenset({"shop"})]), st.sets(st.integers(0, 7)))
def test_all_at_once_as_one_after_the_other(
    sent: list[list[Series]], namespaces: frozenset[str] | None, others: set[int]
) -> None:
    together = Mapping(DEFAULT_RULES, SeriesOwners(), namespaces)
    in_turn = Mapping(DEFAULT_RULES, SeriesOwners(), namespaces)
    for one in sent:
        request = decode(body_v1(*one), Version.V1, RequestLimits(1_000_000, 1000))
        origins = in_turn.origins_of(request)
        positions = [number for number in range(len(origins)) if number not in others]
        expected, found = Rejections(), Rejections()
        owners = [
            each.position
            for each in series_of(request, origins, positions)
            if claim(each, in_turn, expected, NOW_MS * 1000)
        ]
        assert claim_all(request, together, found, NOW_MS * 1000, others) == owners
        assert found.as_tuple() == expected.as_tuple()


@pytest.mark.parametrize("is_at_once", [True, False])
def test_a_replica_whose_clock_is_ahead_keeps_no_other_out(is_at_once: bool) -> None:
    """Its own samples are refused: the indicator would have none."""
    mapping = Mapping(DEFAULT_RULES, SeriesOwners())
    ahead, right = (
        (indicator("rps", "w0", prometheus_replica=name), [(NOW_MS + ahead_ms, 1.0)])
        for name, ahead_ms in (("a", 400_000), ("b", 0))
    )
    for one in (right, ahead, right, ahead, right):
        request = decode(body_v1(one), Version.V1, RequestLimits(1_000_000, 1000))
        found = Rejections()
        if is_at_once:
            assert claim_all(request, mapping, found, NOW_MS * 1000) == [0]
        else:
            (each,) = series_of(request, mapping.origins_of(request), [0])
            assert claim(each, mapping, found, NOW_MS * 1000) is not None
        assert found.as_tuple() == ()
