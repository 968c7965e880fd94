"""Before anything is judged nothing is scaled any more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.lab.bench.faults.run import end_scaling
from tests.unit.lab.bench.faults.acts.small_rig import running_small_rig


@dataclass
class Watcher:
    """Notes whether the operator was still there when it was to catch up."""

    rig: Any
    was_alive: bool | None = None

    def catch_up(self, patience_s: float) -> bool:
        self.was_alive = self.rig.child("operator").is_alive()
        return patience_s > 0


def test_the_watcher_catches_up_once_the_operator_has_ended(tmp_path: Path) -> None:
    with running_small_rig(tmp_path, "operator", "beat") as rig:
        rig.scales = Watcher(rig)
        end_scaling(rig)
        assert rig.scales.was_alive is False
        assert rig.child("beat").is_alive()
