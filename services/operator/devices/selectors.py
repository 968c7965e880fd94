"""Selectors of devices, as far as they are evaluated here; pure.

Classes and claims select devices by CEL expressions. Those are evaluated that say which driver a
device is of and which values its attributes have, all of which must hold:

    device.driver == "gpu.nvidia.com" && device.attributes["gpu.nvidia.com"].type == "gpu"

so do the classes of the drivers of NVIDIA and AMD. What any other expression selects is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

Value = str | int | bool
_TEXT = r"""(?:"(?P<{0}a>[^"\\]*)"|'(?P<{0}b>[^'\\]*)')"""
_DRIVER = re.compile(rf"device\.driver\s*==\s*{_TEXT.format('v')}")
_ATTRIBUTE = re.compile(
    rf"device\.attributes\[\s*{_TEXT.format('d')}\s*\]\.(?P<name>[A-Za-z_]\w*)\s*==\s*"
    rf"(?:{_TEXT.format('v')}|(?P<plain>true|false|-?\d+))"
)


@dataclass(frozen=True, slots=True)
class Equality:
    """One value that a device must have.

    Attributes:
        name: `DOMAIN/NAME` of the attribute; empty: it is the driver.
    """

    name: str
    value: Value

    def holds(self, driver: str, attributes: Mapping[str, Value]) -> bool:
        """True where a device of a driver has the value."""
        own = attributes.get(self.name) if self.name else driver
        return type(own) is type(self.value) and own == self.value


Equalities = tuple[Equality, ...]


@lru_cache(1024)
def read_selector(expression: str) -> Equalities | None:
    """What an expression demands; None: it is not one of those that are evaluated."""
    found = [_read_part(part.strip()) for part in expression.split("&&")]
    known = tuple(each for each in found if each is not None)
    return known if len(known) == len(found) else None


def read_selectors(expressions: Iterable[str]) -> Equalities | None:
    """What several expressions demand together; None: one of them is not evaluated."""
    found: list[Equality] = []
    for expression in expressions:
        own = read_selector(expression)
        if own is None:
            return None
        found += own
    return tuple(found)


def _read_part(part: str) -> Equality | None:
    of_driver = _DRIVER.fullmatch(part)
    if of_driver is not None:
        return Equality("", of_driver["va"] if of_driver["vb"] is None else of_driver["vb"])
    found = _ATTRIBUTE.fullmatch(part)
    if found is None:
        return None
    domain = found["da"] if found["db"] is None else found["db"]
    plain = found["plain"]
    if plain is None:
        value: Value = found["va"] if found["vb"] is None else found["vb"]
    else:
        value = plain == "true" if plain in ("true", "false") else int(plain)
    return Equality(f"{domain}/{found['name']}", value)
