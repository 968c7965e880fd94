"""An upgrade in mid-flight, on sleeping processes: first the schema, then both, then the new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.lab.bench.faults.acts import upgrade
from services.lab.bench.faults.acts.upgrade import Upgrade
from services.lab.bench.faults.old_code import NEW_CODE
from tests.unit.lab.bench.faults.acts.small_rig import running_small_rig

NAMES = ("operator", "beat")
MIGRATE_ONCE_FAILING = """
import pathlib, sys
mark = pathlib.Path(sys.argv[1])
if not mark.exists():
    mark.touch()
    sys.exit(1)
mark.with_suffix(".done").touch()
"""


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(upgrade, "PROCESSES", NAMES)
    monkeypatch.setattr(upgrade, "_DOUBLED", ("operator",))
    monkeypatch.setattr(upgrade, "_SIDE_BY_SIDE_S", 0.1)
    monkeypatch.setattr(upgrade, "_MIGRATE", MIGRATE_ONCE_FAILING)
    with running_small_rig(tmp_path, *NAMES) as found:
        found.database_url = str(tmp_path / "mark")
        yield found


def test_the_schema_changes_first_then_both_run_then_each_is_replaced(
    rig: Any, tmp_path: Path
) -> None:
    before = {name: rig.child(name).pid for name in NAMES}
    act = Upgrade()
    assert act.begin(rig)

    def is_done() -> bool:
        if not (tmp_path / "mark.done").exists():
            assert {name: rig.child(name).pid for name in NAMES} == before
        return act.end(rig)

    rig.until(is_done)
    assert act.has_bitten(rig)
    assert all(rig.child(name).pid != before[name] for name in NAMES)
    assert rig.child("beat").spec.env["PYTHONPATH"] == str(NEW_CODE.folder)
    assert rig.child("beat").spec.options["cwd"] == str(NEW_CODE.folder)
    assert rig.old is None
    assert rig.pids() == {rig.child(name).pid for name in NAMES}
