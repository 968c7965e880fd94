"""Faults planted in the product, one at a time; the simulation, or a test, must find each of them.

A mutant is a piece of one function's text with another in its place. Where the text has changed
since, the mutant must be written anew: `planted` says so.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from unittest.mock import patch

_ROOM = "services."


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        where: Module below `services`, and the function in it.
        old: A piece of its text.
        new: What stands there instead.
    """

    name: str
    where: str
    old: str
    new: str


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The product with one fault."""
    module_name, _, path = mutant.where.partition(":")
    module = import_module(_ROOM + module_name)
    owner_name, _, name = path.rpartition(".")
    owner: Any = getattr(module, owner_name) if owner_name else module
    original = getattr(owner, name)
    text = textwrap.dedent(inspect.getsource(original))
    assert text.count(mutant.old) == 1, f"{mutant.name}: {text.count(mutant.old)} places in {path}"
    code = compile(text.replace(mutant.old, mutant.new), f"<{mutant.name}>", "exec", _FUTURE)
    found: dict[str, Any] = {}
    exec(code, module.__dict__, found)
    with ExitStack() as stack:
        stack.enter_context(patch.object(owner, name, found[name]))
        for other in list(sys.modules.values()) if owner is module else ():
            is_ours = getattr(other, "__name__", "").startswith("services.")
            if is_ours and getattr(other, name, None) is original:
                stack.enter_context(patch.object(other, name, found[name]))
        yield


_FUTURE = __import__("__future__").annotations.compiler_flag
