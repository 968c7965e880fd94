"""A trigger's metadata is understood, or refused by the name of what is wrong."""

from __future__ import annotations

from fractions import Fraction

import pytest

from services.kernel.errors import InvalidInput
from services.scaler.translate import Trigger, to_trigger


def test_both_ways_to_name_a_workload() -> None:
    expected = Trigger(("serving", "llama"))
    assert to_trigger("serving", {"autoscaler": "llama", "scalerAddress": "x:1"}) == expected
    assert to_trigger("elsewhere", {"workload": "serving/llama"}) == expected


def test_the_tolerance_is_exact() -> None:
    trigger = to_trigger("serving", {"autoscaler": "llama", "hpaTolerance": "0.1"})
    assert trigger.tolerance == Fraction(1, 10)


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({"scalerAddress": "x:1"}, "neither is given"),
        ({"autoscaler": "", "workload": ""}, "neither is given"),
        ({"autoscaler": "llama", "workload": "serving/llama"}, "both are given"),
        ({"workload": "llama"}, r"metadata\.workload='llama'"),
        ({"workload": "a/b/c"}, r"metadata\.workload='a/b/c'"),
        ({"workload": "/b"}, r"metadata\.workload='/b'"),
        ({"autoscaler": "x" * 300}, "autoscaler='xxx"),
        ({"autoscaler": "a\0b"}, r"autoscaler='a\\x00b'"),
        ({"autoscaler": "llama", "hpaTolerance": "10%"}, r"metadata\.hpaTolerance='10%'"),
        ({"autoscaler": "llama", "hpaTolerance": "1.5"}, r"metadata\.hpaTolerance='1\.5'"),
        ({"autoscaler": "llama", "hpaTolerance": "1e99999999"}, r"metadata\.hpaTolerance"),
        ({"autoscaler": "llama", "hpaTolerance": ""}, r"metadata\.hpaTolerance=''"),
    ],
)
def test_what_cannot_be_used_is_named(metadata: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        to_trigger("serving", metadata)


def test_an_empty_namespace_is_refused() -> None:
    with pytest.raises(InvalidInput, match="namespace=''"):
        to_trigger("", {"autoscaler": "llama"})


def test_a_trigger_may_name_a_variant_or_pool() -> None:
    assert to_trigger("serving", {"autoscaler": "llama", "part": "prefill"}).part == "prefill"
    assert to_trigger("serving", {"autoscaler": "llama"}).part == ""
