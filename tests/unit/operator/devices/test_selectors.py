"""Expressions that are evaluated, and those of which nothing is concluded."""

from __future__ import annotations

import pytest

from services.operator.devices.selectors import Equality, read_selector, read_selectors

TYPE = Equality("gpu.nvidia.com/type", "gpu")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("device.driver == 'gpu.nvidia.com'", (Equality("", "gpu.nvidia.com"),)),
        (
            "device.driver == 'gpu.nvidia.com' && "
            "device.attributes['gpu.nvidia.com'].type == 'gpu'",
            (Equality("", "gpu.nvidia.com"), TYPE),
        ),
        ('device.attributes["gpu.nvidia.com"].type=="gpu"', (TYPE,)),
        ("device.attributes['a.b'].index == 3", (Equality("a.b/index", 3),)),
        ("device.attributes['a.b'].virtual == false", (Equality("a.b/virtual", False),)),
        ("\n  device.driver == 'a'\n  && device.attributes['a'].n == -1 ",
         (Equality("", "a"), Equality("a/n", -1))),
    ],
)  # fmt: skip
def test_equalities_that_must_all_hold(expression: str, expected: tuple[Equality, ...]) -> None:
    assert read_selector(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "true",
        "device.driver != 'a'",
        "device.driver == 'a' || device.driver == 'b'",
        "device.driver == 'a' && (device.attributes['a'].n == 1)",
        "device.attributes['a'].model.matches('H.*')",
        "device.capacity['a'].memory.compareTo(quantity('40Gi')) >= 0",
        "device.attributes['a'].n == 1.5",
        r"device.driver == 'a\'b'",
        "'a' == device.driver",
    ],
)
def test_anything_else_is_not_evaluated(expression: str) -> None:
    assert read_selector(expression) is None


def test_of_several_each_must_be_evaluated() -> None:
    of_driver = "device.driver == 'gpu.nvidia.com'"
    assert read_selectors([of_driver, "device.attributes['gpu.nvidia.com'].type == 'gpu'"]) == (
        Equality("", "gpu.nvidia.com"),
        TYPE,
    )
    assert read_selectors([of_driver, "true"]) is None
    assert read_selectors([]) == ()


def test_a_value_is_of_its_kind() -> None:
    assert TYPE.holds("gpu.nvidia.com", {"gpu.nvidia.com/type": "gpu"})
    assert not TYPE.holds("gpu.nvidia.com", {"gpu.nvidia.com/type": "mig"})
    assert not TYPE.holds("gpu.nvidia.com", {})
    assert not Equality("a/n", 1).holds("a", {"a/n": True})
    assert Equality("", "a").holds("a", {})
