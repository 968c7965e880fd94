"""True, believed and measured rates of whole runs on a small task."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.lab.bench.decide import report
from services.lab.bench.decide.document import merge_documents, to_document
from services.lab.bench.decide.run import DecideResult
from services.lab.bench.decide.truth import MEASURED, TOLD_TRUTH, CapacityTruth, truth_of
from tests.unit.lab.bench.decide.small_runs import EPSILONS, small_result, wavy_task

STATED = Path(__file__).with_name("stated.json")
"""The document of this task without what a truth to choose has added to it."""
ADDED = {"true_rate", "believed_rate", "measured_rate", "cost_of_not_knowing", "arms", "truth"}
ADDED |= {"settled", "ci_replicates"}


@cache
def _made(truth: CapacityTruth) -> DecideResult:
    return small_result(wavy_task(truth=truth))


def result_of(kind: str, ratio: float | None = None) -> DecideResult:
    return _made(truth_of(kind, ratio))


def document_of(kind: str, ratio: float | None = None) -> dict[str, Any]:
    return to_document([result_of(kind, ratio)])


def harmony(kind: str, ratio: float | None, key: str) -> dict[str, Any]:
    found: dict[str, Any] = document_of(kind, ratio)["summary"][key]["arms"]["harmony"]
    return found


def without_added(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: without_added(value) for key, value in part.items() if key not in ADDED}
    return [without_added(value) for value in part] if isinstance(part, list) else part


@pytest.mark.slow
def test_stated_is_the_document_of_before_to_the_byte_but_for_what_is_added() -> None:
    document = document_of("stated")
    written = json.dumps(without_added(document)) + "\n"
    if os.environ.get("HARMONY_UPDATE_GOLDEN"):
        STATED.write_text(written)
    assert written == STATED.read_text()
    for arms in (whole["arms"] for whole in document["summary"].values()):
        assert set(arms) == {
            *("harmony", "hpa", "trailing_percentile", "harmony_tuned_price"),
            *("perfect_forecast", "oracle"),
        }
        for arm in arms.values():
            assert arm["true_rate"] == arm["believed_rate"] == arm["measured_rate"]
        assert arms["harmony"]["cost_of_not_knowing"] is None


@pytest.mark.slow
@pytest.mark.parametrize("key", ["0.02", "0.1"])
def test_with_less_than_stated_the_promise_is_believed_and_not_kept(key: str) -> None:
    own = harmony("off", 0.9, key)
    stated = harmony("stated", None, key)
    assert own["believed_rate"] == own["measured_rate"] == stated["believed_rate"]
    assert own["believed_rate"] <= float(key)
    assert own["true_rate"] > max(float(key), 2 * own["believed_rate"])


@pytest.mark.slow
def test_with_more_than_stated_the_promise_is_more_than_kept() -> None:
    own = harmony("off", 1.1, "0.1")
    assert own["true_rate"] < own["believed_rate"] == own["measured_rate"]
    assert own["cost_of_not_knowing"]["cost_ratio"] > 1.03
    assert own["cost_of_not_knowing"]["true_rate"] <= own["cost_of_not_knowing"]["true_rate_told"]


@pytest.mark.slow
@pytest.mark.parametrize("truth", [("off", 0.9), ("off", 1.1), ("drifting", None)])
def test_who_is_told_the_truth_believes_what_is_true(truth: tuple[str, float | None]) -> None:
    for key in ("0.02", "0.1"):
        told = document_of(*truth)["summary"][key]["arms"][TOLD_TRUTH]
        assert told["true_rate"] == told["believed_rate"] == told["measured_rate"]
        assert told["true_rate"] <= float(key)


@pytest.mark.slow
def test_what_policies_ask_for_does_not_depend_on_a_truth_that_nobody_measures() -> None:
    stated, other = result_of("stated"), result_of("off", 0.9)
    for name, policy in stated.policies.items():
        np.testing.assert_array_equal(policy.run.asked, other.policies[name].run.asked)
        assert policy.chosen == other.policies[name].chosen
    np.testing.assert_array_equal(stated.deployed.run.asked, other.deployed.run.asked)


@pytest.mark.slow
def test_one_that_is_told_the_truth_is_run_where_the_stated_capacity_is_wrong() -> None:
    found = result_of("off", 0.9)
    assert set(found.ablations) == {"perfect_forecast", MEASURED, TOLD_TRUTH}
    told, own = found.ablations[TOLD_TRUTH], found.deployed
    # a tenth of the capacity is missing: who knows it asks for more and is out less often
    assert told.run.asked.sum() > own.run.asked.sum()
    assert (told.curve.rate < own.curve.rate).all()
    # and so does who measures what requests feel
    felt = found.ablations[MEASURED]
    assert felt.run.asked.sum() > own.run.asked.sum()
    assert (felt.curve.rate < own.curve.rate).all()


@pytest.mark.slow
def test_drifting_is_the_same_on_every_run_and_for_every_policy() -> None:
    one, again = result_of("drifting"), small_result(wavy_task(truth=truth_of("drifting", None)))
    assert to_document([one]) == to_document([again])
    for policy in one.policies.values():
        lean = policy.run.violation_ratio > policy.run.believed_ratio
        assert not lean[:, one.task.course.capacity_factor >= 1.0].any()


def test_the_frontier_is_by_the_true_rate() -> None:
    result = result_of("off", 0.9)
    (dataset,) = document_of("off", 0.9)["datasets"]
    policy, part = result.policies["hpa"], slice(result.task.n_prelude, None)
    true = policy.run.violation_ratio[..., part].mean(axis=(1, 2))
    believed = policy.run.believed_ratio[..., part].mean(axis=(1, 2))
    found = np.array([rate for rate, _, _ in dataset["frontier"]["hpa"]])
    np.testing.assert_allclose(found, true, rtol=1e-5, atol=1e-9)
    assert (found > believed + 1e-3).any()


def test_the_cost_of_not_knowing_is_over_harmony_that_is_told() -> None:
    document = document_of("off", 0.9)
    deployed = document["datasets"][0]["deployed"]["0.02"]
    own, told = deployed["harmony"], deployed[TOLD_TRUTH]
    found = own["cost_of_not_knowing"]
    assert found["cost_ratio"] == pytest.approx(own["cost_ratio"] / told["cost_ratio"], rel=1e-5)
    assert (found["true_rate"], found["true_rate_told"]) == (own["true_rate"], told["true_rate"])
    for run in document["runs"]:
        arms = run["policies"]
        hours = arms["harmony"]["gpu_hours"] / arms[TOLD_TRUTH]["gpu_hours"]
        not_knowing = arms["harmony"]["cost_of_not_knowing"]
        assert not_knowing["cost_ratio"] == pytest.approx(hours, rel=1e-5)
        assert arms["harmony"]["violation_rate"] == arms["harmony"]["true_rate"]


def test_tables_set_true_and_believed_side_by_side_only_where_they_differ() -> None:
    stated, other = document_of("stated"), document_of("off", 0.9)
    for rows in (
        lambda d: report.deployed_rows(d["datasets"][0], "0.02"),
        lambda d: report.ablation_rows(d, "0.02"),
        lambda d: report.summary_rows(d, "0.02"),
    ):
        assert "believed" not in rows(stated)[0]
        assert "believed" in rows(other)[0]
        assert all(row.keys() == rows(other)[0].keys() for row in rows(other))
    own = other["summary"]["0.02"]["arms"]["harmony"]
    row = report.summary_rows(other, "0.02")[0]
    assert row["believed"] == f"{own['believed_rate']:.2%}"
    assert row["deployed: out of SLA"] == f"{own['true_rate']:.2%}"
    words = report.verdict(other, "0.02")
    assert f"True capacity off 0.9: truly out of SLA {own['true_rate']:.2%}" in words
    assert "True capacity" not in report.verdict(stated, "0.02")


def test_documents_of_before_are_put_together_as_they_were() -> None:
    old = json.loads(STATED.read_text())
    merged = merge_documents([old])
    assert without_added(merged) == old
    assert all(whole["arms"] == {} for whole in merged["summary"].values())
    for key in merged["summary"]:
        assert "believed" not in report.summary_rows(merged, key)[0]
        assert report.verdict(merged, key) == report.verdict(old, key)
    assert [float(key) for key in merged["summary"]] == list(EPSILONS)
