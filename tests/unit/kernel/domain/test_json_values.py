"""Values as JSON can hold them."""

from __future__ import annotations

import json

from services.kernel.domain.json_values import null_where_unknown


def test_what_is_not_a_number_is_null_wherever_it_stands() -> None:
    given = {"a": float("nan"), "b": [1.5, float("-inf"), ("x", None, True)], "c": {"d": 3}}
    found = null_where_unknown(given)
    assert found == {"a": None, "b": [1.5, None, ["x", None, True]], "c": {"d": 3}}
    json.dumps(found, allow_nan=False)
