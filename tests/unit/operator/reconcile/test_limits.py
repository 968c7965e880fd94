"""Rate limits of many scalings of one pass."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from services.operator.plan.part_plan import PartChange
from services.operator.plan.plan import PlannedAction, Result
from services.operator.plan.scaling import WHOLE, Scaling
from services.operator.reconcile import intents_repository, limits
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import NOW, decision, resource

BEHAVIOR = {"scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 600}]}}


class Row(dict[str, Any]):
    """A row that counts how often somebody asks whose it is."""

    n_looks = 0

    def __getitem__(self, name: str) -> Any:
        Row.n_looks += name == "workload_id"
        return super().__getitem__(name)


def scaling(workload_id: int) -> Scaling:
    """From four replicas to eight."""
    autoscaler = to_autoscaler(resource(behavior=BEHAVIOR), {})
    wanted = decision(workload_id, desired=8, workload_id=workload_id)
    change = PartChange(WHOLE, 1.0, 0, 0.0, PlannedAction(wanted, Result.APPLIED, "", 4, 8))
    return Scaling(autoscaler, wanted, {WHOLE: change}, {WHOLE: autoscaler})


def past(workload_id: int, added: int) -> Mapping[str, Any]:
    """A scaling of five minutes ago."""
    return Row(
        workload_id=workload_id,
        applied_at=NOW - timedelta(minutes=5),
        parts=None,
        variants=None,
        is_sure=True,
        from_replicas=4 - added,
        to_replicas=4,
    )


def test_each_scaling_counts_its_own_past_alone_and_each_row_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are counted while a transaction is open: the work may not grow with the square."""
    n_services = 40
    scalings = [scaling(number) for number in range(n_services)]
    rows = [past(number, number % 4) for number in range(n_services)]
    monkeypatch.setattr(intents_repository, "load_changes", lambda *_: rows)
    monkeypatch.setattr(Row, "n_looks", 0)
    limits._limit_rates(None, scalings, NOW)  # type: ignore[arg-type]
    allowed = [each.changes[WHOLE].wanted for each in scalings]
    assert allowed == [8 - number % 4 for number in range(n_services)]
    assert Row.n_looks == len(rows)
