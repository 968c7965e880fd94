"""Whether a type refuses, after what its pools and node groups said."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.operator.plan.provisioning import (
    Provisioning,
    ProvisioningSigns,
    attempt,
    backoff,
    learn_startup,
)
from services.operator.plan.supply_refusals import (
    SupplySource,
    follow_sources,
    follow_type,
    released,
    tried,
    with_room,
    words_of,
)
from tests.unit.operator.examples import NOW

LAW = learn_startup(120.0)
NOTHING = ProvisioningSigns()


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def refused(seconds: float, why: str = "none") -> Provisioning:
    retry_at = at(seconds) + backoff(1, LAW)
    return Provisioning(1, at(seconds), retry_at, why=why, said_at=at(seconds))


def source(
    name: str, state: Provisioning | None = None, room: int | None = 8, now_s: float = 10.0
) -> SupplySource:
    return SupplySource(name, room, Provisioning()).at(state or Provisioning(), at(now_s))


def test_a_type_is_refused_where_all_sources_with_room_are() -> None:
    spot, steady = source("spot", refused(10)), source("steady")
    waits = ProvisioningSigns(at(0))
    assert follow_type(Provisioning(), [spot, steady], waits, LAW, at(10)) == Provisioning()
    full = replace(steady, room=0)
    state = follow_type(Provisioning(), [spot, full], waits, LAW, at(10))
    assert (state.n_refused, state.why, state.said_at) == (1, "spot: none", at(10))
    both = [spot, source("steady", refused(5, "no quota"))]
    state = follow_type(Provisioning(), both, waits, LAW, at(10))
    assert state.why == "spot: none; steady: no quota"


def test_one_whose_room_is_not_known_has_some() -> None:
    found = [source("spot", refused(10)), source("steady", room=None)]
    assert not follow_type(Provisioning(), found, NOTHING, LAW, at(10)).is_refused


def test_where_none_has_room_all_of_them_count() -> None:
    full = [source("a", room=0), source("b", refused(10), 0)]
    assert with_room(full) == full
    assert not follow_type(Provisioning(), full, NOTHING, LAW, at(10)).is_refused


def test_a_source_that_may_be_asked_again_opens_the_type() -> None:
    state = follow_type(Provisioning(), [source("a", refused(10))], NOTHING, LAW, at(10))
    assert state.is_refused
    opened = follow_type(state, [source("a", refused(10)), source("b")], NOTHING, LAW, at(20))
    assert not opened.is_refused
    assert opened.settled_at == at(20)


@pytest.mark.parametrize("sources", [(), (source("b"),)])
def test_pods_that_wait_for_too_long_are_a_refusal_wherever_nodes_come_from(
    sources: tuple[SupplySource, ...],
) -> None:
    waits = ProvisioningSigns(at(0))
    state = follow_type(Provisioning(), sources, waits, LAW, at(LAW.patience_s + 1))
    assert "no node has come within" in state.why
    later = follow_type(state, sources, waits, LAW, at(LAW.patience_s + 30))
    assert later == state, "that one does not refuse is no sign that a node comes"


def test_a_type_may_be_asked_when_the_first_of_its_sources_may() -> None:
    often = replace(refused(10), n_refused=4, retry_at=at(10) + backoff(4, LAW))
    state = follow_type(Provisioning(), [source("a", often)], NOTHING, LAW, at(10))
    assert state.retry_at == often.retry_at
    both = [source("a", often), source("b", refused(10))]
    state = follow_type(Provisioning(), both, NOTHING, LAW, at(10))
    assert state.retry_at == at(10) + backoff(1, LAW)


def test_a_source_that_nothing_is_known_of_begins_with_what_is_settled_for_its_type() -> None:
    seen = {"a": ProvisioningSigns(refusal_at=at(5), refusal="none")}
    settled = Provisioning(settled_at=at(8))
    assert not follow_sources({}, settled, seen, LAW, at(10))["a"].is_refused
    assert follow_sources({}, Provisioning(), seen, LAW, at(10))["a"].is_refused


def test_an_attempt_uses_up_the_turn_of_those_whose_turn_it_is() -> None:
    due, waits = source("a", refused(10), now_s=500.0), source("b", refused(490), now_s=500.0)
    found = tried([due, waits, source("c")], LAW, at(500))
    assert found["a"] == attempt(due.state, LAW, at(500))
    assert (found["b"], found["c"]) == (waits.state, Provisioning())


def test_a_node_from_nobody_knows_where_opens_a_source() -> None:
    opened = released(source("a", replace(refused(10), n_refused=4)), at(20))
    assert (opened.state.n_refused, opened.is_closed) == (2, False)


def test_a_source_is_named_once() -> None:
    assert words_of([source("node group a", refused(1, "node group a backs off"))]) == (
        "node group a backs off"
    )
