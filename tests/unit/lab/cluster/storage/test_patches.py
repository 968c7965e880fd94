"""Merge, JSON and strategic merge patches."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.patches import json_patch, merge_patch, strategic_merge

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_the_examples_of_rfc_7386(
    target: Any, patch: Any, expected: Any
) -> None:
    assert merge_patch(target, patch) == expected


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_applied_twice_is_applied_once(target: Any, patch: Any) -> None:
    before = copy.deepcopy(target)
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert target == before


@given(OBJECTS, st.sampled_from("abc"), JSON)
def test_json_patch_add_then_remove_gives_the_object_back(
    target: Any, name: str, value: Any
) -> None:
    before = copy.deepcopy(target)
    added = json_patch(target, [{"op": "add", "path": f"/{name}", "value": value}])
    assert added == {**target, name: value}
    removed = json_patch(added, [{"op": "remove", "path": f"/{name}"}])
    assert removed == {k: v for k, v in target.items() if k != name}
    assert target == before


def test_json_patch_moves_copies_and_inserts() -> None:
    target = {"a": [1, 2], "b": {"c/d": "x", "e~f": "y"}}
    after = json_patch(
        target,
        [
            {"op": "add", "path": "/a/0", "value": 0},
            {"op": "copy", "from": "/b/c~1d", "path": "/copied"},
            {"op": "move", "from": "/b/e~0f", "path": "/moved"},
            {"op": "replace", "path": "/a/2", "value": 3},
        ],
    )
    assert after == {"a": [0, 1, 3], "b": {"c/d": "x"}, "copied": "x", "moved": "y"}


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ({"op": "add"}, 400),
        ([{"op": "add", "path": "/a"}], 400),
        ([{"op": "bend", "path": "/a"}], 400),
        ([{"op": "remove", "path": "a"}], 400),
        ([{"op": "remove", "path": 5}], 400),
        ([{"op": "copy", "path": "/b"}], 400),
        ([{"op": "remove", "path": ""}], 422),
        ([{"op": "remove", "path": "/z"}], 422),
        ([{"op": "replace", "path": "/z", "value": 1}], 422),
        ([{"op": "add", "path": "/z/y", "value": 1}], 422),
        ([{"op": "add", "path": "/a/9", "value": 1}], 422),
        ([{"op": "test", "path": "/a", "value": 1}], 422),
    ],
)
def test_json_patches_that_do_not_fit_are_refused(operations: Any, code: int) -> None:
    with pytest.raises(ApiFailure) as caught:
        json_patch({"a": [1]}, operations)
    assert caught.value.code == code


def test_strategic_merge_merges_keyed_lists_and_obeys_directives() -> None:
    target = {
        "containers": [
            {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]},
            {"name": "b", "image": "1"},
        ],
        "tolerations": [{"key": "k"}],
        "finalizers": ["one"],
        "labels": {"x": "1", "y": "2"},
    }
    patch = {
        "containers": [
            {"name": "a", "env": [{"name": "Y", "value": "2"}]},
            {"name": "b", "$patch": "delete"},
            {"name": "c", "image": "3"},
        ],
        "tolerations": [{"key": "new"}],
        "finalizers": ["two"],
        "labels": {"x": None},
        "$setElementOrder/containers": [{"name": "a"}],
    }
    assert strategic_merge(target, patch) == {
        "containers": [
            {
                "name": "a",
                "image": "1",
                "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
            },
            {"name": "c", "image": "3"},
        ],
        "tolerations": [{"key": "new"}],
        "finalizers": ["one", "two"],
        "labels": {"y": "2"},
    }
    gone = strategic_merge(target, {"$deleteFromPrimitiveList/finalizers": ["one"]})
    assert gone["finalizers"] == []
    assert strategic_merge(target, {"labels": {"$patch": "replace", "z": "3"}})["labels"] == {
        "z": "3"
    }
