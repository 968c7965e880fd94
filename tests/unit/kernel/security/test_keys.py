"""Keys, roles and the audit chain, without a database where none is needed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from services.kernel.errors import InvalidInput
from services.kernel.security.audit import Anchor
from services.kernel.security.keys import HASH_COST, chain_hash, split_key

AT = datetime(2026, 1, 5, tzinfo=UTC)


def entry(**changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "at": AT,
        "actor": "ops (ab12)",
        "action": "key.create",
        "object": "key/cd34",
        "before": None,
        "after": {"role": "viewer", "n": 1.0},
    }
    return base | changes


def test_a_secret_costs_what_owasp_asks_at_least() -> None:
    # tests that make keys use a cheaper one: this is the value that processes start with
    assert HASH_COST == {"time_cost": 2, "memory_cost": 19_456, "parallelism": 1}


def test_an_anchor_reads_back_what_it_prints() -> None:
    anchor = Anchor(42, "0f" * 32)
    assert Anchor.parse(f" {anchor}\n") == anchor
    for wrong in ("", "42", f"x:{'0' * 64}", f"4:{'0' * 63}", f"4:{'G' * 64}", f"²:{'0' * 64}"):
        with pytest.raises(InvalidInput, match="anchor="):
            Anchor.parse(wrong)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "hk",
        "hk__",
        "hk_ab_short",
        "xx_ab12_" + "s" * 43,
        "hk_a-b_" + "s" * 43,
        "hk_ab_" + "s" * 200,
    ],
)
def test_what_is_no_key(token: str) -> None:
    assert split_key(token) is None


def test_a_secret_may_hold_separators() -> None:
    secret = "a_b-c_" + "d" * 40
    assert split_key(f"hk_ab12_{secret}") == ("ab12", secret)


@pytest.mark.parametrize(
    "changed",
    [
        {"at": AT + timedelta(microseconds=1)},
        {"actor": "ops (ab13)"},
        {"action": "key.revoke"},
        {"object": "key/cd35"},
        {"before": {}},
        {"after": {"role": "admin", "n": 1.0}},
        {"after": None},
    ],
)
def test_every_field_is_covered_by_the_hash(changed: dict[str, object]) -> None:
    assert chain_hash(None, entry(**changed)) != chain_hash(None, entry())


def test_the_hash_covers_what_came_before() -> None:
    first, second = chain_hash(None, entry()), chain_hash(b"x" * 32, entry())
    assert first != second
    zone = AT.astimezone(datetime.strptime("+05:00", "%z").tzinfo)
    assert chain_hash(None, entry(at=zone)) == first


scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
documents = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False, width=32),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), documents, max_size=4))
def test_the_hash_survives_storage_as_json(after: dict[str, object]) -> None:
    stored = json.loads(json.dumps(after))
    assert chain_hash(None, entry(after=after)) == chain_hash(None, entry(after=stored))


def test_a_number_that_json_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        chain_hash(None, entry(after={"x": float("nan")}))
