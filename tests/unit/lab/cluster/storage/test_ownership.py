"""Field ownership and server-side apply."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.ownership import Writing, apply, own_updates

FIELDS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2), max_size=4)


def writing(manager: str, operation: str = "Apply") -> Writing:
    return Writing(manager, "v1", "2026-01-05T00:00:00Z", operation)


def thing(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": spec}


def owners(obj: dict[str, Any]) -> dict[str, set[str]]:
    return {
        entry["manager"]: {name[2:] for name in entry["fieldsV1"].get("f:spec", {})}
        for entry in obj["metadata"]["managedFields"]
    }


@given(FIELDS, FIELDS)
def test_applying_again_gives_exactly_what_is_applied(first: Any, second: Any) -> None:
    live = apply(None, thing(first), writing("us"), is_forced=False)
    after = apply(live, thing(second), writing("us"), is_forced=False)
    assert after["spec"] == second
    again = apply(after, thing(second), writing("us"), is_forced=False)
    assert again == after


@given(FIELDS, FIELDS)
def test_two_managers_share_equal_values_and_clash_on_others(ours: Any, theirs: Any) -> None:
    live = apply(None, thing(ours), writing("us"), is_forced=False)
    clashes = {name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]}
    if clashes:
        with pytest.raises(ApiFailure) as caught:
            apply(live, thing(theirs), writing("them"), is_forced=False)
        fields = {cause["field"] for cause in caught.value.details["causes"]}
        assert fields == {f".spec.{name}" for name in clashes}
    after = apply(live, thing(theirs), writing("them"), is_forced=True)
    assert after["spec"] == {**ours, **theirs}
    found = owners(after)
    assert found.get("them", set()) == set(theirs)
    assert found.get("us", set()) == set(ours) - clashes


def test_giving_up_a_shared_field_leaves_it_in_place() -> None:
    live = apply(None, thing({"a": 1, "b": 2}), writing("us"), is_forced=False)
    live = apply(live, thing({"a": 1}), writing("them"), is_forced=False)
    after = apply(live, thing({"b": 2}), writing("us"), is_forced=False)
    assert after["spec"] == {"a": 1, "b": 2}
    assert owners(after) == {"us": {"b"}, "them": {"a"}}


def test_an_update_takes_what_it_changes() -> None:
    live = apply(None, thing({"a": 1, "b": 2}), writing("us"), is_forced=False)
    new = {**live, "spec": {"a": 1, "b": 3, "c": 4}}
    managed = own_updates(live, new, writing("scaler", "Update"))
    assert owners({"metadata": {"managedFields": managed}}) == {"us": {"a"}, "scaler": {"b", "c"}}


def test_entries_of_keyed_lists_are_owned_one_by_one() -> None:
    spec = {"containers": [{"name": "a", "image": "1"}]}
    live = apply(None, thing(spec), writing("us"), is_forced=False)
    side = {"containers": [{"name": "b", "image": "1"}]}
    live = apply(live, thing(side), writing("them"), is_forced=False)
    assert [c["name"] for c in live["spec"]["containers"]] == ["a", "b"]
    tree = live["metadata"]["managedFields"][1]["fieldsV1"]["f:spec"]["f:containers"]
    assert tree == {'k:{"name":"b"}': {".": {}, "f:name": {}, "f:image": {}}}
    clash = {"containers": [{"name": "a", "image": "2"}]}
    with pytest.raises(ApiFailure) as caught:
        apply(live, thing(clash), writing("them"), is_forced=False)
    assert caught.value.details["causes"][0]["field"] == '.spec.containers[name="a"].image'
    after = apply(live, thing({}), writing("them"), is_forced=False)
    assert [c["name"] for c in after["spec"]["containers"]] == ["a"]


ENTRIES = st.lists(
    st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 2) | st.just({})),
    max_size=3,
    unique_by=lambda entry: entry[0],
)


def with_conditions(entries: list[tuple[str, Any]], spec: dict[str, Any]) -> dict[str, Any]:
    conditions = [{"type": name} | ({} if v is None else {"value": v}) for name, v in entries]
    return thing(spec) | {"status": {"conditions": conditions}}


@given(ENTRIES, FIELDS, ENTRIES, FIELDS)
def test_an_update_owns_what_is_new_or_differs_and_nothing_else(
    old: Any, old_spec: Any, new: Any, new_spec: Any
) -> None:
    keyed = replace(writing("us", "Update"), list_keys=lambda path: ("type",))
    before, after = with_conditions(old, old_spec), with_conditions(new, new_spec)
    (entry,) = own_updates(before, after, keyed) or [{"fieldsV1": {}}]
    found = entry["fieldsV1"]
    changed = {name for name in new_spec if old_spec.get(name) != new_spec[name]}
    assert {name[2:] for name in found.get("f:spec", {})} >= changed
    assert {n[2:] for n, _ in found.get("f:spec", {}).items() if n != "."} <= changed
    owned = found.get("f:status", {}).get("f:conditions", {})
    was, now = dict(old), dict(new)
    for name, value in now.items():
        own = owned.get(f'k:{{"type":"{name}"}}')
        if name not in was:
            assert own is not None
            assert "f:type" in own
        elif value is not None and (was[name] is None or value != was[name]):
            assert own is not None
            assert "f:value" in own
        else:
            assert own is None
