"""The house: on which floor each module stands, and what looks up where it should not.

A package lists its children on floors from top to bottom (`floors.py`). A module may need what
stands on a lower floor; children of one floor are strangers. The modules of a `ROOM` stand on one
floor and may need each other without a circle. In a `FEATURE` a module's name tells its floor, also
as its last word: `page` and `login_page` over `service` over `repository`. A module that is named
in a string counts as imported.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from tests.architecture.floors import ENTRY, FEATURE, FLOORS, NAME_FLOORS, ROOM

TOPS = ("services", "decider", "forecaster")
NAMED_MODULE = re.compile(rf"(?:{'|'.join(TOPS)})(?:\.\w+)+")
HALF_A_NAME = re.compile(rf"(?:{'|'.join(TOPS)})\.")


@dataclass(frozen=True, slots=True)
class Need:
    """An import, or a module's name in a string.

    Attributes:
        importer: The module that needs the other.
        imported: The module that is needed.
        line: Where.
    """

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} needs {self.imported}"


@dataclass(frozen=True, slots=True)
class House:
    """The modules of a tree and what they need of each other.

    Attributes:
        sources: Text of every module by its dotted name; packages too.
        packages: Those that are packages.
        needs: All needs within the tree, by the module that has them.
        entry_points: Modules that `pyproject.toml` offers, as scripts or to whoever asks by group.
    """

    sources: dict[str, str]
    packages: frozenset[str]
    needs: dict[str, tuple[Need, ...]]
    entry_points: tuple[str, ...]

    def all_needs(self) -> Iterable[Need]:
        """Every need of the house."""
        return (need for needs in self.needs.values() for need in needs)

    def planted(self, module: str, line: str, *, is_package: bool = False) -> House:
        """The same house with one line added to a module, which may be new."""
        source = f"{self.sources.get(module, '')}\n{line}\n"
        sources = {**self.sources, module: source}
        needs = {**self.needs, module: needs_of(module, source, sources)}
        packages = self.packages | {module} if is_package else self.packages
        return replace(self, sources=sources, needs=needs, packages=packages)


def read_house(folder: Path) -> House:
    """Read the tree under `folder` as text; nothing is imported."""
    sources: dict[str, str] = {}
    packages: set[str] = set()
    for path in sorted(path for top in TOPS for path in (folder / top).rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        sources[name] = path.read_text()
        packages |= {name} if parts[-1] == "__init__" else set()
    needs = {name: needs_of(name, source, sources) for name, source in sources.items()}
    entries = entry_points((folder / "pyproject.toml").read_text())
    return House(sources, frozenset(packages), needs, entries)


def entry_points(pyproject: str) -> tuple[str, ...]:
    """Modules that a distribution starts by name, or offers to whoever asks by group."""
    project = tomllib.loads(pyproject).get("project", {})
    groups = [project.get("scripts", {}), *project.get("entry-points", {}).values()]
    return tuple(target.split(":")[0] for group in groups for target in group.values())


def needs_of(module: str, source: str, sources: dict[str, str]) -> tuple[Need, ...]:
    """What one module needs of the tree."""
    found: dict[str, Need] = {}
    for said in read_source(source).names:
        other = deepest(said.name, sources)
        is_own_home = said.is_text and module.startswith(f"{other}.")
        if other and other != module and not is_own_home:
            found.setdefault(other, Need(module, other, said.line))
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class SaidName:
    """A dotted name that a source imports, or holds as a string.

    Attributes:
        name: The name.
        line: Where.
        is_text: It stands in a string.
    """

    name: str
    line: int
    is_text: bool


@dataclass(frozen=True, slots=True)
class SourceNames:
    """What a source says of modules.

    Attributes:
        names: Names that it imports or holds.
        half_lines: Lines that put a module's name together.
    """

    names: tuple[SaidName, ...]
    half_lines: tuple[int, ...]


@cache
def read_source(source: str) -> SourceNames:
    """What a text says, kept: the houses of a run differ by one module, and each rule asks."""
    names, half_lines = [], []
    for node in ast.walk(ast.parse(source)):
        is_text = isinstance(node, ast.Constant)
        line = getattr(node, "lineno", 0)
        names += [SaidName(name, line, is_text) for name in names_in(node)]
        if has_half_a_name(node):
            half_lines.append(line)
    return SourceNames(tuple(names), tuple(half_lines))


def names_in(node: ast.AST) -> list[str]:
    """Dotted names that a node imports, or holds as a string."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        name = node.value.split(":")[0]
        return [name] if NAMED_MODULE.fullmatch(name) else []
    return []


def deepest(name: str, sources: dict[str, str]) -> str:
    """The deepest module that a dotted name begins with; empty where there is none."""
    while name and name not in sources:
        name = name.rpartition(".")[0]
    return name


def half_names(house: House) -> list[str]:
    """Names of modules that are put together when the program runs: no reader can follow them."""
    return [
        f"{module}:{line} puts a module's name together"
        for module, source in house.sources.items()
        for line in read_source(source).half_lines
    ]


def has_half_a_name(node: ast.AST) -> bool:
    """Check whether a node puts a module's name together."""
    first: ast.AST | None = None
    if isinstance(node, ast.JoinedStr) and len(node.values) > 1:
        first = node.values[0]
    elif isinstance(node, ast.BinOp):
        first = node.left
    text = first.value if isinstance(first, ast.Constant) else None
    return isinstance(text, str) and HALF_A_NAME.match(text) is not None


def floor_by_name(name: str) -> int | None:
    """Floor that a module's name, or its last word, tells; None where it tells none."""
    for position, row in enumerate(NAME_FLOORS):
        if name in row.split() or name.split("_")[-1] in row.split():
            return position
    return None


@cache
def floor_of(package: str, name: str) -> int | None:
    """Floor of a child of a package, 0 at the top; None where it has no place."""
    floors = FLOORS.get(package, ())
    if floors == ROOM:
        return 0
    if floors == FEATURE:
        return floor_by_name(name)
    return next((at for at, row in enumerate(floors) if name in row.split()), None)


def without_a_layer(house: House) -> list[str]:
    """Modules without a layer, and places on the table that nobody stands in."""
    wrong = []
    for module in sorted(house.sources):
        package, _, name = module.rpartition(".")
        is_closed = FLOORS.get(package) in (ROOM, FEATURE) and module in house.packages
        if floor_of(package, name) is None or is_closed:
            wrong.append(f"{module} has no layer: see tests/architecture/floors.py")
    for package, floors in FLOORS.items():
        names = [] if floors in (ROOM, FEATURE) else " ".join(floors).split()
        expected = [f"{package}.{name}" if package else name for name in names]
        wrong += [f"{name} is on the table only" for name in expected if name not in house.sources]
        if package and package not in house.packages:
            wrong.append(f"{package} is on the table only")
    return wrong


def upward(house: House) -> list[str]:
    """Needs that look up, or across a floor of strangers."""
    wrong = [f"entry point {name}" for name in house.entry_points if not name.startswith(ENTRY)]
    return wrong + [str(need) for need in house.all_needs() if looks_up(need)]


@cache
def looks_up(need: Need) -> bool:
    """Check one need, kept: of the needs of two houses nearly all are the same."""
    package, above, below = where_they_part(need)
    if not above or not below:
        return False  # a package and its own child
    own, other = floor_of(package, above), floor_of(package, below)
    if own is None or other is None:
        return False  # without a layer, which has a test of its own
    are_strangers = own == other and FLOORS[package] not in (ROOM, FEATURE)
    return other < own or are_strangers


def where_they_part(need: Need) -> tuple[str, str, str]:
    """The deepest package that holds both modules of a need, and its child on either side."""
    left, right = need.importer.split("."), need.imported.split(".")
    n_shared = 0
    while n_shared < min(len(left), len(right)) and left[n_shared] == right[n_shared]:
        n_shared += 1
    sides = ("".join(parts[n_shared : n_shared + 1]) for parts in (left, right))
    return ".".join(left[:n_shared]), *sides


def against_the_names(house: House) -> list[str]:
    """Needs inside one service that look up by the names of the modules, whatever their rooms."""
    wrong = []
    for need in house.all_needs():
        left, right = need.importer.split("."), need.imported.split(".")
        if left[:2] != right[:2] or left[0] != "services":
            continue
        own, other = floor_by_name(left[-1]), floor_by_name(right[-1])
        if own is not None and other is not None and other < own:
            wrong.append(str(need))
    return wrong


def circles(house: House) -> list[str]:
    """Modules that need themselves through others."""
    needs = {module: sorted({n.imported for n in found}) for module, found in house.needs.items()}
    found: list[str] = []
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            found.append(" > ".join([*path[path.index(module) :], module]))
        elif module not in done:
            for other in needs.get(module, ()):
                visit(other, (*path, module))
            done.add(module)

    for module in sorted(house.sources):
        visit(module, ())
    return found
