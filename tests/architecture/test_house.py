"""Every module stands on a floor and needs only what is below; planted violations are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.architecture.floors import FEATURE, FLOORS, ROOM
from tests.architecture.house import (
    House,
    against_the_names,
    circles,
    entry_points,
    half_names,
    read_house,
    upward,
    without_a_layer,
)

REPO = Path(__file__).parents[2]
FEATURES = [package for package, floors in FLOORS.items() if floors == FEATURE]
ROOMS = [package for package, floors in FLOORS.items() if floors == ROOM]
STACKS = [package for package, floors in FLOORS.items() if floors not in (FEATURE, ROOM)]


@pytest.fixture(scope="module")
def house() -> House:
    return read_house(REPO)


def test_every_module_has_a_layer(house: House) -> None:
    assert without_a_layer(house) == []


def test_nothing_looks_up(house: House) -> None:
    assert upward(house) == []


def test_names_tell_the_layer_inside_a_service(house: House) -> None:
    assert against_the_names(house) == []


def test_there_is_no_circle(house: House) -> None:
    assert circles(house) == []


def test_every_name_of_a_module_is_written_out(house: House) -> None:
    assert half_names(house) == []


def pairs() -> Iterator[tuple[str, str, str]]:
    """A package, a child of it, and a child that the first may not see."""
    for package in STACKS:
        floors = [row.split() for row in FLOORS[package]]
        for above, below in pairwise(floors):
            yield package, below[0], above[0]
        for row in floors:
            if len(row) > 1:
                yield package, row[0], row[1]


@pytest.mark.parametrize(("package", "child", "unseen"), list(pairs()))
def test_a_planted_look_up_is_found(house: House, package: str, child: str, unseen: str) -> None:
    importer, imported = ((f"{package}.{name}" if package else name) for name in (child, unseen))
    planted = house.planted(importer, f"import {imported}")
    assert any(importer in line and imported in line for line in upward(planted))


@pytest.mark.parametrize("room", [*ROOMS, *FEATURES])
def test_a_planted_package_inside_a_room_is_found(house: House, room: str) -> None:
    planted = house.planted(f"{room}.repository", "", is_package=True)
    planted = planted.planted(f"{room}.repository.more", "import services.cli.application")
    assert any(f"{room}.repository has no layer" in line for line in without_a_layer(planted))
    assert any(f"{room}.repository.more has no layer" in line for line in without_a_layer(planted))


@pytest.mark.parametrize("package", STACKS)
def test_a_planted_module_off_the_table_is_found(house: House, package: str) -> None:
    name = f"{package}.planted".removeprefix(".")
    for is_package in (False, True):
        planted = house.planted(name, "", is_package=is_package)
        assert any(name in line for line in without_a_layer(planted))


@pytest.mark.parametrize("room", ROOMS)
def test_a_planted_circle_is_found(house: House, room: str) -> None:
    planted = house.planted(f"{room}.first", "").planted(f"{room}.second", f"import {room}.first")
    assert circles(planted) == circles(house)
    planted = planted.planted(f"{room}.first", f"import {room}.second")
    assert any(f"{room}.first > {room}.second" in line for line in circles(planted))


@pytest.mark.parametrize("feature", FEATURES)
def test_a_planted_module_of_no_layer_is_found(house: House, feature: str) -> None:
    planted = house.planted(f"{feature}.things", "")
    assert any(f"{feature}.things" in line for line in without_a_layer(planted))


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize(
    ("low", "high"),
    [("repository", "service"), ("wording", "repository"), ("more_repository", "other_page")],
)
def test_a_planted_look_up_by_name_is_found(
    house: House, feature: str, low: str, high: str
) -> None:
    planted = house.planted(f"{feature}.{high}", "").planted(
        f"{feature}.{low}", f"from {feature} import {high}"
    )
    assert any(f"{feature}.{low}" in line for line in upward(planted))


def test_a_planted_look_up_by_name_between_rooms_is_found(house: House) -> None:
    planted = house.planted(
        "services.admin.workloads.repository", "from services.admin.series.service import x"
    )
    assert any("workloads.repository" in line for line in against_the_names(planted))


@pytest.mark.parametrize(
    "line",
    [
        'TASK_MODULES = {"fit": ("services.lab.demo.run",)}',
        'import_module("services.lab.demo.run")',
        'COMMAND = [sys.executable, "-m", "services.lab.demo.run"]',
        'TARGET = "services.lab.demo.run:main"',
        "def late() -> None:\n    from services.lab.demo import run",
        "if TYPE_CHECKING:\n    import services.lab.demo.run",
    ],
)
@pytest.mark.parametrize(
    "module",
    [
        "services.kernel.jobs",
        "services.decision.tasks",
        "services.backtest.tasks",
        "decider.decide",
    ],
)
def test_the_laboratory_is_seen_behind_any_name(house: House, module: str, line: str) -> None:
    planted = house.planted(module, line)
    assert any(module in found and "services.lab" in found for found in upward(planted))


@pytest.mark.parametrize(
    "line",
    [
        'import_module(f"services.lab.{name}")',
        'import_module("services.lab." + name)',
        'import_module("services.lab.%s" % name)',
    ],
)
def test_a_name_put_together_is_found(house: House, line: str) -> None:
    planted = house.planted("services.kernel.jobs", line)
    assert any("services.kernel.jobs" in found for found in half_names(planted))


def test_entry_points_start_the_command_line_only(house: House) -> None:
    assert entry_points((REPO / "pyproject.toml").read_text())
    offered = entry_points(
        '[project.entry-points."harmony.tasks"]\nfit = "services.lab.backtest:tasks"\n'
    )
    assert "entry point services.lab.backtest" in upward(replace(house, entry_points=offered))


def test_a_place_that_nobody_stands_in_is_found(house: House) -> None:
    empty = replace(
        house, sources={n: s for n, s in house.sources.items() if n != "services.worker.tasks"}
    )
    assert "services.worker.tasks is on the table only" in without_a_layer(empty)
