"""Faults on demand."""

from __future__ import annotations

import pytest

from services.lab.cluster.admission.access import Question
from services.lab.cluster.wire.faults import REQUEST_KINDS, Fault, Faults, failure_of

PATCH = Question("patch", "apps", "deployments", "scale", "team", "x")


@pytest.mark.parametrize("body", [{"kind": "fire"}, {}, {"kind": "slow", "speed": 3}])
def test_what_is_no_fault_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be one of|unknown"):
        Fault.of(body)


def test_a_fault_hits_what_it_names_as_often_as_it_says() -> None:
    faults = Faults()
    faults.add(Fault.of({"kind": "conflict", "verb": "patch", "times": 2, "skip": 1}))
    assert faults.hit(Question("get", "", "pods"), REQUEST_KINDS) is None
    hits = [faults.hit(PATCH, REQUEST_KINDS) is not None for _ in range(4)]
    assert hits == [False, True, True, False]
    assert (faults.n_hits, faults.listed()) == (2, [])


@pytest.mark.parametrize("part", ["verb", "resource", "subresource", "namespace", "name"])
def test_every_part_that_is_named_has_to_match(part: str) -> None:
    assert Fault("slow", **{part: getattr(PATCH, part)}).matches(PATCH)
    assert not Fault("slow", **{part: "other"}).matches(PATCH)


def test_faults_of_watches_meet_no_request_and_new_watches_only_when_asked() -> None:
    faults = Faults()
    faults.add(Fault.of({"kind": "gone"}))
    assert faults.listed() == []
    faults.add(Fault.of({"kind": "gone", "times": 1}))
    assert faults.hit(PATCH, REQUEST_KINDS) is None
    assert [one["kind"] for one in faults.listed()] == ["gone"]
    faults.clear()
    assert faults.listed() == []


def test_each_kind_has_its_answer() -> None:
    codes = {}
    for kind in REQUEST_KINDS:
        failure = failure_of(Fault(kind, retry_after_s=3), PATCH)
        codes[kind] = failure and failure.code
        if kind in ("throttle", "unavailable"):
            assert failure is not None
            assert failure.headers["Retry-After"] == "3"
    assert codes == {
        "unauthorized": 401,
        "forbidden": 403,
        "conflict": 409,
        "throttle": 429,
        "error": 500,
        "unavailable": 503,
        "slow": None,
    }
