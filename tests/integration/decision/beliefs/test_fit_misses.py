"""Responses fitted on a real Postgres: pooled by group, gated, used at the next decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from decider import SamplerConfig
from services.decision.beliefs import due, misses
from services.decision.beliefs.groups import scope_of
from services.decision.rows.members import ShardMember
from services.decision.wiring import DecisionDeps
from services.kernel.db.session import unit_of_work
from tests.integration.decision.learned_capacity import posteriors
from tests.integration.decision.measured_loop import OBJECTIVE
from tests.integration.decision.measured_steps import add_measured_steps
from tests.integration.decision.stored_rows import (
    ORIGIN,
    TOKENS,
    add_workload,
    bound_by_tokens,
)
from tests.integration.decision.views import members_of

OF_PYMC = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
)
pytestmark = [pytest.mark.slow, pytest.mark.integration, OF_PYMC]
OF_ONE = (1, 1, 0, 0)
"""Shape of a batch of one workload: one group, no further loads, no variants."""
SLA = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}


def test_responses_are_learned_together_gated_and_used(deps: DecisionDeps) -> None:
    from services.decision.beliefs.fit_misses import fit_responses

    rng = np.random.default_rng(0)
    knees = (8.0, 9.0, 10.0)
    ids = [add_workload(deps.engine, f"w{i}", sla=SLA) for i in range(len(knees))]
    for workload, knee in zip(ids, knees, strict=True):
        add_measured_steps(deps.engine, workload, knee, knee * rng.uniform(0.5, 1.15, 120))
    few = add_workload(deps.engine, "few", sla=SLA)
    add_measured_steps(deps.engine, few, 9.0, np.full(3, 5.0))
    add_workload(deps.engine, "plain")

    report = fit_responses(deps)

    assert set(report.promoted) == {f"workload:{key}" for key in ids}
    assert list(report.refused) == [f"workload:{few}"]
    assert report.refused[f"workload:{few}"].startswith("3 measured steps")
    for workload, knee in zip(ids, knees, strict=True):
        (row,) = posteriors(deps.engine, kind="misses", scope=f"workload:{workload}")
        assert row["summary"]["p50"] == pytest.approx(knee, rel=0.05)
        assert row["summary"]["method"] == "pymc"
        assert row["summary"]["slope"] == pytest.approx(12.0, rel=0.4)
        assert row["n_observations"] == 120
    assert not due.due_fits(deps).responses

    with unit_of_work(deps.engine, deps.sender) as work:
        members = members_of(work.connection)
        believed = misses.believed_responses(work, deps.settings, members, ORIGIN)
    assert set(believed) == {*ids, few}
    assert np.median(believed[few].draws.load_within(0.05)) == pytest.approx(9.0, rel=0.1)
    (group,) = posteriors(deps.engine, kind="misses", scope=scope_of(members[few]))
    assert group["summary"]["n_workloads"] == 3
    assert group["summary"]["p50"] == pytest.approx(0.9, rel=0.1)
    assert np.median(believed[ids[0]].draws.load_within(0.05)) == pytest.approx(8.0, rel=0.05)


def test_a_fit_that_has_not_mixed_is_rejected_and_what_was_learned_stays(
    deps: DecisionDeps,
) -> None:
    from services.decision.beliefs.fit_misses import fit_responses

    workload = add_workload(deps.engine, "w", sla=SLA)
    add_measured_steps(deps.engine, workload, 9.0, np.linspace(5.0, 10.0, 30))
    with unit_of_work(deps.engine, deps.sender) as work:
        members = members_of(work.connection)
        before = misses.believed_responses(work, deps.settings, members, ORIGIN)
    report = fit_responses(deps, SamplerConfig(100, 20, 2, 0.85, is_low_rank=True))
    assert report.promoted == ()
    (row,) = posteriors(deps.engine, kind="misses", status="rejected")
    assert row["reason"] == report.refused[f"workload:{workload}"] != ""
    with unit_of_work(deps.engine, deps.sender) as work:
        after = misses.believed_responses(work, deps.settings, members, ORIGIN)
    np.testing.assert_array_equal(after[workload].capacity, before[workload].capacity)


def test_who_has_several_loads_is_fitted_beside_those_with_one(deps: DecisionDeps) -> None:
    from services.decision.beliefs.fit_misses import fit_responses

    rng = np.random.default_rng(1)
    alone = add_workload(deps.engine, "alone", sla=SLA)
    add_measured_steps(deps.engine, alone, 9.0, rng.uniform(4.5, 10.0, 120))
    bound = add_workload(deps.engine, "bound", sla=SLA, **bound_by_tokens())
    load, tokens = rng.uniform(3.0, 9.0, 120), rng.uniform(30.0, 90.0, 120)
    add_measured_steps(deps.engine, bound, 8.0, load, tokens=tokens)

    report = fit_responses(deps)

    assert set(report.promoted) == {f"workload:{key}" for key in (alone, bound)}
    (row,) = posteriors(deps.engine, kind="misses", scope=f"workload:{bound}")
    assert row["summary"]["learned_for"]["further"] == [TOKENS]
    assert row["summary"]["further"][TOKENS]["p50"] == pytest.approx(80.0, rel=0.1)
    (row,) = posteriors(deps.engine, kind="misses", scope=f"workload:{alone}")
    assert "further" not in row["summary"]
    with unit_of_work(deps.engine, deps.sender) as work:
        members = members_of(work.connection)
        believed = misses.believed_responses(work, deps.settings, members, ORIGIN)
    assert [believed[key].draws.n_further for key in (alone, bound)] == [0, 1]


def test_a_fit_that_was_killed_goes_on_with_those_that_have_none(
    deps: DecisionDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    from decider.belief.posterior import CompiledModel, MissFits
    from services.decision.beliefs import fit_misses

    monkeypatch.setattr(fit_misses, "MAX_WORKLOADS", 1)
    compiled: list[str] = []
    compile_one, before = CompiledModel.of, fit_misses._FITS

    def note(*given: Any) -> CompiledModel:
        """The model of one workload, from a test before this where there was one."""
        compiled.append("one")
        return before._models.get(OF_ONE) or compile_one(*given)

    monkeypatch.setattr(CompiledModel, "of", note)
    monkeypatch.setattr(fit_misses, "_FITS", MissFits())
    quick = SamplerConfig(50, 50, 2, 0.85, is_low_rank=True)  # not mixed: a row all the same
    ids = [add_workload(deps.engine, f"w{i}", sla=SLA) for i in range(3)]
    for workload in ids:
        add_measured_steps(deps.engine, workload, 9.0, np.linspace(5.0, 10.0, 30))
    fit = fit_misses._fit
    fitted: list[int] = []

    def die_at_the_second(members: Sequence[ShardMember], *given: Any) -> list[dict[str, Any]]:
        if len(fitted) == 1:
            raise KeyboardInterrupt
        fitted.extend(m.id for m in members)
        return fit(members, *given)

    monkeypatch.setattr(fit_misses, "_fit", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        fit_misses.fit_responses(deps, quick)
    monkeypatch.setattr(fit_misses, "_fit", fit)
    with unit_of_work(deps.engine, deps.sender) as work:
        misses.believed_responses(work, deps.settings, members_of(work.connection), ORIGIN)
    known = due.due_fits(deps)
    assert known.responses, "two have learned and were not fitted"
    report = fit_misses.fit_responses(deps, quick, after=known.after)
    assert len(compiled) == 1, "all batches are of one shape"
    touched = {*report.promoted, *report.refused}
    assert touched == {f"workload:{key}" for key in ids} - {f"workload:{fitted[0]}"}
    assert not due.due_fits(deps).responses
    assert fit_misses.fit_responses(deps, quick, after=known.after).refused == {}
