"""The mirror: tests of a module are found by the module's path.

`services/x/y/z.py` has its tests in `tests/unit/x/y/test_z.py`, `forecaster/a/b.py` in
`tests/unit/forecaster/a/test_b.py`, and so has the decider. `integration` and `statistical` stand
beside `unit`. A file `test_z_aspect.py` is of `z` too, unless a module `z_aspect` stands beside it.
Packages' `__init__.py`, generated code, database migrations and modules under 20 lines need none.

Modules without tests are listed in `without_tests.txt`. `python -m tests.architecture.mirror`
writes the list anew, and refuses to add to it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.house import TOPS

KINDS = ("unit", "integration", "statistical")
MIN_LINES = 20
MIN_SHARE_WITH_TESTS = 0.6
REPO = Path(__file__).parents[2]
LIST = Path(__file__).with_name("without_tests.txt")
HEADING = "# Modules without mirrored tests, written by `python -m tests.architecture.mirror`"


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between the list and the tree.

    Attributes:
        unlisted: Modules that have no tests and are not on the list.
        tested: Listed modules that have tests, or need none, by now.
        gone: Listed modules that are no longer there.
    """

    unlisted: tuple[str, ...]
    tested: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def is_growth(self) -> bool:
        """Says that more is unlisted than moves explain: a moved module is gone from its place."""
        return len(self.unlisted) > len(self.gone)


def modules(folder: Path) -> list[str]:
    """Paths of all modules of a tree that should have tests, sorted."""
    found = (path for top in TOPS for path in (folder / top).rglob("*.py"))
    return sorted(path.relative_to(folder).as_posix() for path in found if needs_tests(path))


def needs_tests(path: Path) -> bool:
    """Says that a source file is long enough and written by hand."""
    is_exempt = (
        path.name == "__init__.py"
        or "_pb2" in path.name
        or path.parent.as_posix().endswith("migrations/versions")
    )
    return not is_exempt and len(path.read_text().splitlines()) >= MIN_LINES


def mirrored_tests(folder: Path, module: str, kinds: Sequence[str] = KINDS) -> tuple[str, ...]:
    """Paths of the test files of a module, by kind and name; empty where it has none."""
    place = Path(module).parent
    beside = {spoken(path) for path in (folder / place).glob("*.py")}
    inside = place.relative_to("services") if place.parts[0] == "services" else place
    return tuple(
        path.relative_to(folder).as_posix()
        for kind in kinds
        for path in sorted((folder / "tests" / kind / inside).glob("test_*.py"))
        if module_of(path.stem, beside) == spoken(Path(module))
    )


def spoken(path: Path) -> str:
    """Name of a module as its tests spell it: `__main__.py` has `test_main.py`."""
    return path.stem.strip("_")


def module_of(test: str, beside: set[str]) -> str | None:
    """Name of the module that a test file is of: the longest that its name begins with."""
    name = test.removeprefix("test_")
    fitting = [stem for stem in beside if name == stem or name.startswith(f"{stem}_")]
    return max(fitting, key=len, default=None)


def without_tests(folder: Path) -> list[str]:
    """Paths of the modules of a tree that have no mirrored tests, sorted."""
    return [module for module in modules(folder) if not mirrored_tests(folder, module)]


def read_list(path: Path) -> list[str]:
    """Paths on a list; empty where there is none yet."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if line and not line.startswith("#")]


def list_text(paths: Sequence[str]) -> str:
    """Text of a list."""
    return "\n".join([HEADING, *sorted(paths)]) + "\n"


def difference(folder: Path, listed: Sequence[str]) -> Difference:
    """Compare a list with a tree."""
    bare = without_tests(folder)
    gone = tuple(path for path in listed if not (folder / path).exists())
    return Difference(
        unlisted=tuple(path for path in bare if path not in listed),
        tested=tuple(path for path in listed if path not in bare and path not in gone),
        gone=gone,
    )


def rewrite(folder: Path, path: Path) -> list[str]:
    """Write the list anew, unless it would grow.

    Returns:
        Modules that would be added to the list: with any of them nothing is written.
    """
    found = difference(folder, read_list(path))
    if path.exists() and found.is_growth:
        return list(found.unlisted)
    path.write_text(list_text(without_tests(folder)))
    return []


def main() -> int:
    """Write this tree's list anew and report the share of modules with tests."""
    refused = rewrite(REPO, LIST)
    if refused:
        print("These modules have no tests, and the list may only shrink:", *refused, sep="\n  ")
        return 1
    n_modules, n_bare = len(modules(REPO)), len(read_list(LIST))
    share = 1 - n_bare / n_modules
    print(f"{n_modules - n_bare} of {n_modules} modules have mirrored tests ({share:.1%})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
