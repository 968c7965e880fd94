"""What outlives objects: the first of each, and no more than there is room for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.operator.cluster.listed import ListedKind
from services.operator.kube import last_states
from services.operator.kube.last_states import LastStates


@dataclass(frozen=True)
class End:
    uid: str
    how: str


def read(found: dict[str, Any]) -> End | None:
    return End(found["uid"], found["how"]) if "how" in found else None


def test_the_first_of_each_object_stays() -> None:
    last = LastStates(ListedKind("pods", "/api/v1", read_last=read))
    for found in ({"uid": "a"}, {"uid": "a", "how": "x"}, {"uid": "a", "how": "y"}, {"uid": "b"}):
        last.see(found)
    assert last.values() == [End("a", "x")]


def test_where_the_newest_counts_it_takes_the_place_of_the_first() -> None:
    last = LastStates(ListedKind("nodeclaims", "/apis/x", read_last=read, is_newest_kept=True))
    for found in ({"uid": "a", "how": "x"}, {"uid": "a", "how": "y"}, {"uid": "a"}):
        last.see(found)
    assert last.values() == [End("a", "y")]


def test_the_oldest_make_room() -> None:
    last = LastStates(ListedKind("pods", "/api/v1", read_last=read))
    for n in range(last_states._MOST + 2):
        last.see({"uid": str(n), "how": "x"})
    assert len(last.values()) == last_states._MOST
    assert last.values()[0].uid == "2"


def test_of_other_kinds_nothing_does() -> None:
    last = LastStates(ListedKind("nodes", "/api/v1"))
    last.see({"uid": "a", "how": "x"})
    assert last.values() == []
