"""A key given twice in one object is found, by the slow reader and beside the fast one."""

from __future__ import annotations

import json
import re

import orjson
import pytest
from hypothesis import given, strategies as st

from services.kernel.errors import BadRequest
from services.kernel.http import json_keys
from services.kernel.http.json_keys import check_keys, read_json

TWICE = [
    (b'{"replicas": 3, "replicas": 30}', "replicas"),
    (b'{"a": [{"b": 1, "c": {"d": 1, "d": 1}}]}', "d"),
    (b'[[1, {"a": 1, "a" : 2}]]', "a"),
    (b'{"a": 1, "\\u0061"\n\t: 2}', "a"),
]


@pytest.mark.parametrize(("body", "key"), TWICE)
def test_a_key_that_is_given_twice_is_named(body: bytes, key: str) -> None:
    said = re.escape(f"body: key {key!r} is given 2 times; give it once")
    with pytest.raises(BadRequest, match=said):
        read_json(body)
    with pytest.raises(BadRequest, match=said):
        check_keys(body, orjson.loads(body))


values = st.recursive(
    st.none() | st.integers(-9, 9) | st.text('ab":\\ ', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text('ab":\\ ', max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(values, st.sampled_from([None, 1]), st.sampled_from([(",", ":"), (" , ", " : ")]))
def test_what_names_each_key_once_is_taken(
    content: object, indent: int | None, separators: tuple[str, str]
) -> None:
    body = json.dumps(content, indent=indent, separators=separators).encode()
    assert read_json(body) == content
    check_keys(body, content)


def test_a_push_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand samples are not read again by the slow reader, whatever their times are."""
    monkeypatch.setattr(json_keys, "read_json", None)
    for at in (1767225600, "2026-01-01T00:00:00Z"):
        series = {"namespace": "n", "workload": "w", "indicator": "i", "samples": [[at, 1.5]] * 9}
        content = {"observations": [series] * 3}
        check_keys(orjson.dumps(content), content)
        check_keys(json.dumps(content, indent=2).encode(), content)


def test_what_nests_too_deep_is_left_to_what_checks_its_shape() -> None:
    deep = b'{"a":' * 900 + b"[[{}]]" + b"}" * 900
    check_keys(deep, orjson.loads(deep))
    check_keys(deep.replace(b"{}", b'{"a":1}'), orjson.loads(deep))
