"""What the package exports: one list in three places, and nothing heavy on the way in."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import forecaster

TREE = ast.parse(Path(forecaster.__file__).read_text(encoding="utf-8"))


def for_type_checkers() -> dict[str, str]:
    """Name to module, from the imports that only a type checker reads."""
    (block,) = (
        node
        for node in TREE.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_the_table_the_type_checkers_imports_and_all_agree() -> None:
    assert for_type_checkers() == forecaster._MODULES
    assert sorted(forecaster._MODULES) == sorted(forecaster.__all__)
    assert len(set(forecaster.__all__)) == len(forecaster.__all__)


@pytest.mark.parametrize("name", forecaster.__all__)
def test_an_export_is_what_its_module_defines(name: str) -> None:
    assert getattr(forecaster, name) is getattr(import_module(forecaster._MODULES[name]), name)


def test_a_name_that_is_no_export_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        forecaster.Nothing  # noqa: B018


def test_an_export_shadows_no_module() -> None:
    modules = {path.stem for path in Path(forecaster.__file__).parent.iterdir()}
    assert not modules & set(forecaster.__all__)


@pytest.mark.parametrize("line", ["import forecaster", "from forecaster import ForecasterError"])
def test_the_package_loads_nothing_heavy(line: str) -> None:
    """The command line and every worker load it; most of them never forecast."""
    code = f"import sys; {line}; print(*sorted(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "forecaster" in found
    assert not {"torch", "lightgbm", "numpy", "scipy"} & set(found)
