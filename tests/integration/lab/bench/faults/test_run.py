"""The whole of it, small: six faults strike a platform of six workloads, and all holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.kernel.settings import Settings
from services.lab.bench.faults.kinds import KINDS
from services.lab.bench.faults.report import INVARIANTS
from services.lab.bench.faults.run import FaultOptions, run_faults
from services.lab.bench.faults.schedule import PlannedFault

_CHOSEN = (
    ("kill operator", 0.0, 0.0),
    ("cut database", 4.0, 3.0),
    ("kill postgres", 14.0, 0.0),
    ("poison_values victim", 22.0, 8.0),
    ("answer error", 24.0, 6.0),
    ("pause worker-pipeline", 34.0, 6.0),
)
PLAN = [
    PlannedFault(next(kind for kind in KINDS if kind.name == name), at_s, duration_s)
    for name, at_s, duration_s in _CHOSEN
]


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_six_faults_bite_and_all_holds(tmp_path: Path) -> None:
    said: list[str] = []
    document = run_faults(
        FaultOptions(n_faults=len(PLAN), n_workloads=6),
        Settings(),
        said.append,
        said.append,
        tmp_path / "logs",
        PLAN,
    )
    assert document["not_bitten"] == []
    assert document["kinds"] == {planned.kind.name: 1 for planned in PLAN}
    assert {name: document[name] for name in INVARIANTS} == dict.fromkeys(INVARIANTS, 0), said
    assert document["run"]["n_scalings"] > 0
    assert document["run"]["n_audited"] > 0
    assert document["recovery_s"]["max"] < float("inf")
    assert (tmp_path / "logs" / "operator.log").exists()
