"""A table comes back from its files as it was; its loads are per replica and second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.table import LOADS, TABLES, ResponseTable
from tests.unit.lab.arena.made_table import made_table


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    table = made_table(5, 2)
    table.save(tmp_path / "new" / "table.npz")
    found = ResponseTable.load(tmp_path / "new" / "table.npz")
    assert found.about == table.about
    assert np.array_equal(found.missed, table.missed)
    assert found.rate == pytest.approx(table.rate)
    assert found.loads() == pytest.approx(table.loads())


def test_the_same_table_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        made_table(5, 2).save(tmp_path / f"{name}.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()


def test_loads_are_per_replica_and_second() -> None:
    table = made_table(3, 3)
    loads = table.loads()
    assert loads.shape == (6, len(LOADS))
    assert loads[4, 1] == pytest.approx(table.input_tokens[4].sum() / 600 / 4)


def test_some_rows_keep_their_order() -> None:
    table = made_table(5, 2)
    assert table.rows(np.array([3, 1])).rate.tolist() == table.rate[[3, 1]].tolist()


@pytest.mark.parametrize("is_there", [False, True])
def test_what_is_no_table_is_named(tmp_path: Path, is_there: bool) -> None:
    path = tmp_path / "table.npz"
    if is_there:
        path.with_suffix(".json").write_text("{}")
        np.savez(path, rate=np.ones(3))
    with pytest.raises(InvalidInput, match=r"--table=.*(no response table|shipped are)"):
        ResponseTable.load(path)


def test_shipped_tables_are_whole() -> None:
    for path in TABLES.glob("*.npz"):
        table = ResponseTable.load(path)
        assert (table.missed <= table.requests).all()
        assert (table.missed >= np.maximum(table.missed_ttft, table.missed_tpot)).all()
        assert (table.missed <= table.missed_ttft + table.missed_tpot).all()
        assert table.about["engine"]["packages"]
        assert path.stat().st_size < 200_000
