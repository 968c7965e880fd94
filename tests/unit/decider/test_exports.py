"""What the package exports: every name is there, and PyMC is loaded for those that need it only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import decider

LAZY = decider._LAZY


def imported_names() -> tuple[dict[str, str], dict[str, str]]:
    """Module of each name that the package imports: at once, and for type checkers only."""
    tree = ast.parse(Path(decider.__file__).read_text())
    late = next(node for node in tree.body if isinstance(node, ast.If))
    found = tuple(
        {
            alias.name: str(node.module)
            for node in body
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("decider.")
            for alias in node.names
        }
        for body in (tree.body, late.body)
    )
    return found[0], found[1]


def test_what_is_exported_is_what_is_imported() -> None:
    at_once, late = imported_names()
    assert late == LAZY
    assert sorted(decider.__all__) == sorted({*at_once, *late})


@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
)
@pytest.mark.parametrize("name", sorted(LAZY))
def test_a_name_that_needs_pymc_is_loaded_when_asked_for(name: str) -> None:
    value = getattr(decider, name)
    assert value is getattr(sys.modules[LAZY[name]], name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'decider' has no attribute 'nothing'"):
        decider.nothing  # noqa: B018


def test_importing_the_decider_does_not_load_pymc() -> None:
    code = (
        "import sys, decider, services.decision.tasks;"
        "print([m for m in ('pymc', 'nutpie', 'pytensor', 'arviz') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
