"""Every kind of fault has an act, with what a run asks of it."""

from __future__ import annotations

import pytest

from services.lab.bench.faults.acts.makers import make_act
from services.lab.bench.faults.kinds import KINDS, FaultKind
from services.lab.bench.faults.schedule import PlannedFault


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_an_act_of_its_own(kind: FaultKind) -> None:
    planned = PlannedFault(kind, 0.0, 1.0)
    act = make_act(planned)
    assert act is not make_act(planned)
    assert isinstance(act.is_threaded, bool)
    for step in ("begin", "go_on", "end", "has_bitten"):
        assert callable(getattr(act, step))
