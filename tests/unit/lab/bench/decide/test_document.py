"""The document: exact figures of a hand-made result, no NaN, and merging that changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.bench.decide.document import (
    TUNED_PRICE,
    load_documents,
    merge_documents,
    to_document,
)
from services.lab.bench.decide.figures import workload_figures
from services.lab.bench.decide.rates import NOT_KNOWING, RATES
from tests.unit.lab.bench.decide.results import (
    EPSILONS,
    constant_run,
    make_result,
    small_task,
)


def run_of(document: dict, epsilon: float, workload: str = "w0") -> dict:
    return next(
        run["policies"]
        for run in document["runs"]
        if run["epsilon"] == epsilon and run["workload"] == workload
    )


def test_runs_are_as_deployed_with_exact_figures() -> None:
    document = to_document([make_result()])
    assert len(document["runs"]) == 4  # two workloads at two promises
    policies = run_of(document, 0.01)
    # 24 * 1.4 replicas for an hour at 2.50 USD; up 1, down 2, ... within a 24th of a day
    assert policies["harmony"] == {
        "gpu_hours": pytest.approx(33.6),
        "cost_usd": pytest.approx(84.0),
        "violation_rate": pytest.approx(0.012),
        **dict.fromkeys(RATES, pytest.approx(0.012)),
        NOT_KNOWING: None,
        "unserved": pytest.approx(0.012 / 20, rel=1e-5),
        "churn_per_day": pytest.approx((1 + 5 * 2) * 24),
        "oracle_ratio": pytest.approx(1.4),
    }
    assert run_of(document, 0.05)["harmony"]["oracle_ratio"] == pytest.approx(1.3)
    assert policies["hpa"]["oracle_ratio"] == pytest.approx(2.5)
    assert policies["trailing_percentile"]["oracle_ratio"] == pytest.approx(2.0)
    assert policies[TUNED_PRICE]["oracle_ratio"] == pytest.approx(1.5)
    assert policies["fixed_lead_time"]["oracle_ratio"] == pytest.approx(1.2)
    assert policies["oracle"] == {
        "gpu_hours": 24.0,
        "cost_usd": 60.0,
        "violation_rate": 0.0,
        **dict.fromkeys(RATES, 0.0),
        "unserved": 0.0,
        "churn_per_day": 0.0,
        "oracle_ratio": 1.0,
    }


def test_steps_of_unknown_demand_are_neither_kept_nor_broken() -> None:
    task = small_task()
    demand = task.course.demand.copy()
    demand[0, -2:] = np.nan
    task = replace(task, course=replace(task.course, demand=demand))
    run = constant_run("p", task, [(0.0, 1.0)])
    out = run.violation_ratio.copy()
    out[0, 0, -3:] = [0.5, 1.0, 1.0]
    figures = workload_figures(task, replace(run, violation_ratio=out, unserved=4 * out), 0)
    assert figures.violation_rate == pytest.approx([0.5 / 4, 0.0])
    assert figures.demand_weighted_rate == pytest.approx([0.5 / 4, 0.0])
    assert figures.unserved == pytest.approx([4 * 0.5 / 80, 0.0])
    assert figures.gpu_hours == pytest.approx([24.0, 24.0])  # GPUs are paid for all the same


def test_replicas_of_steps_in_which_a_workload_does_not_exist_are_no_churn() -> None:
    task = small_task()
    live = task.course.is_live.copy()
    live[0, -3:] = False
    task = replace(task, course=replace(task.course, is_live=live))
    run = constant_run("p", task, [(0.0, 1.0)])
    asked = run.asked * live
    asked[0, 1, -1] += 2.0
    figures = workload_figures(task, replace(run, asked=asked), 0)
    assert figures.churn_per_day == pytest.approx([0.0, 2.0 * 24])
    assert figures.gpu_hours == pytest.approx([12.0, 24.0 + 2 / 6])


def test_a_data_set_keeps_all_that_tables_and_plots_need() -> None:
    (one,) = to_document([make_result()])["datasets"]
    assert (one["data"], one["workloads"], one["test_steps"], one["step_s"]) == ("hand", 2, 6, 600)
    assert one["rivals"] == ["hpa", "trailing_percentile"]
    assert one["forecast_policies"] == ["forecast_quantile"]
    assert one["matched"]["0.01"] == {
        "hpa": None,
        "trailing_percentile": 2.0,
        "forecast_quantile": 1.6,
        "harmony": 1.5,
    }
    assert one["best_baseline"] == {"0.01": "trailing_percentile", "0.05": "trailing_percentile"}
    assert one["frontier"]["hpa"][1] == [0.05, 1.75, "hpa 1"]
    assert "fixed_lead_time" not in one["frontier"]  # one setting per promise is no frontier
    deployed = one["deployed"]["0.01"]
    assert deployed["harmony"]["kept_where_chosen"] is None
    assert deployed["fixed_lead_time"]["kept_where_chosen"] is None
    assert deployed["hpa"]["kept_where_chosen"] is False
    assert deployed["trailing_percentile"]["kept_where_chosen"] is True
    assert deployed["trailing_percentile"]["setting"] == "trailing_percentile 1"
    assert one["n_settings"]["harmony"] == 3


def test_a_data_set_says_how_much_was_counted_and_how_it_was_made() -> None:
    result = make_result(replicates={0.01: [-0.5, np.nan], 0.05: [0.25]})
    (one,) = to_document([result])["datasets"]
    assert one["bootstrap_days"] == pytest.approx(1 / 24)  # six steps of ten minutes
    assert one["bootstrap_blocks"] == 6
    assert one["seed"] == 7
    assert one["options"]["lead_sigma"] == result.task.options.lead_sigma
    assert one["ablations"] == ["fixed_lead_time"]
    assert one["replicates"] == {"0.01": [-0.5, None], "0.05": [0.25]}
    assert one["frontier"]["oracle"] == [[0.0, 1.0, "oracle 0"]]
    assert one["n_settings"]["oracle"] == 1
    assert "oracle" not in one["matched"]["0.01"]


def test_a_policy_as_deployed_has_the_figures_of_the_whole_fleet() -> None:
    (one,) = to_document([make_result()])["datasets"]
    harmony = one["deployed"]["0.01"]["harmony"]
    assert harmony == {
        "rate": pytest.approx(0.012),
        **dict.fromkeys(RATES, pytest.approx(0.012)),
        NOT_KNOWING: None,
        "demand_weighted_rate": pytest.approx(0.012),
        "cost_ratio": pytest.approx(1.4),
        "gpu_hours": pytest.approx(2 * 33.6),  # both workloads
        "unserved": pytest.approx(0.012 / 20, rel=1e-5),
        "churn_per_day": pytest.approx((1 + 5 * 2) * 24),
        "setting": "harmony 0",
        "kept_where_chosen": None,
    }


def test_a_document_says_what_was_kept_once_it_had_decided_for_two_days() -> None:
    three_days_ago = replace(make_result(), first_step=-3 * 144)
    found = to_document([three_days_ago])["summary"]["0.01"]["settled"]
    assert set(found) == {"harmony", "oracle"}
    assert found["harmony"]["true_rate"] == pytest.approx(0.012)
    assert found["harmony"]["interval"] == pytest.approx([0.012, 0.012])
    assert (found["harmony"]["n_services"], found["oracle"]["true_rate"]) == (2, 0.0)
    assert to_document([make_result()])["summary"]["0.01"]["settled"] == {}


def test_the_assumptions_are_written() -> None:
    assert to_document([make_result()])["assumptions"] == {
        "gpu_type": "H100",
        "usd_per_gpu_hour": 2.5,
        "gpus_per_replica": 1,
        "max_utilisation": 0.85,
        "mean_gpus_of_training_part": 20.0,
    }


def test_documents_are_read_back(tmp_path: Path) -> None:
    documents = [to_document([make_result(name)]) for name in ("one", "two")]
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    for path, document in zip(paths, documents, strict=True):
        path.write_text(json.dumps(document))
    assert load_documents(paths) == documents


def test_the_summary_of_one_data_set() -> None:
    summary = to_document([make_result()])["summary"]
    assert list(summary) == ["0.01", "0.05"]
    strict, loose = summary["0.01"], summary["0.05"]
    assert strict["vs_best_baseline"] == pytest.approx(1.5 / 2.0)
    assert strict["vs_hpa"] is None
    assert strict["n_vs_hpa"] == 0
    assert strict["vs_oracle"] == 1.5
    assert strict["calibration_gap_pp"] == pytest.approx(0.2)
    assert strict["churn_ratio_vs_hpa"] == pytest.approx(0.5)
    assert strict["ci"] == [None, None]
    assert loose["vs_best_baseline"] == pytest.approx(1.25 / 1.5, rel=1e-5)
    assert loose["vs_hpa"] == pytest.approx(1.25 / 1.75, rel=1e-5)
    assert loose["n_vs_hpa"] == 1
    assert loose["calibration_gap_pp"] == pytest.approx(1.0)


def test_means_over_data_sets_are_geometric_and_the_worst_is_named() -> None:
    easy = make_result("easy")
    hard = make_result(
        "hard",
        trailing=((0.001, 2.0), (0.01, 1.2), (0.05, 1.0)),
        deployed=((0.006, 1.6), (0.05, 1.3)),
    )
    strict = to_document([easy, hard])["summary"]["0.01"]
    assert strict["vs_best_baseline"] == pytest.approx(np.sqrt(0.75 * 1.25), rel=1e-5)
    assert (strict["worst_vs_best_baseline"], strict["worst_dataset"]) == (1.25, "hard")
    assert strict["calibration_gap_pp"] == pytest.approx((0.2 + 0.4) / 2)
    assert strict["largest_calibration_gap_pp"] == pytest.approx(0.4)
    assert strict["by_dataset"]["hard"]["calibration_gap_pp"] == pytest.approx(0.4)


def test_the_interval_takes_replicates_across_data_sets_and_leaves_out_missing_ones() -> None:
    logs = np.log([[0.7, 0.8, np.nan, 0.9], [0.9, 0.8, 0.8, np.nan]])
    one = make_result("one", replicates={0.01: logs[0]})
    two = make_result("two", replicates={0.01: logs[1]})
    strict = to_document([one, two])["summary"]["0.01"]
    low, high = np.log(np.sqrt(0.7 * 0.9)), np.log(0.8)
    expected = np.exp([low + 0.025 * (high - low), low + 0.975 * (high - low)])
    assert strict["ci"] == pytest.approx(expected.tolist(), rel=1e-5)
    assert strict["ci_replicates_used"] == 2


def test_a_rate_that_harmony_misses_and_a_rival_reaches_is_no_mean_without_it() -> None:
    fine = make_result("fine")
    missed = make_result("missed", harmony=((0.02, 2.0), (0.03, 1.5), (0.05, 1.25)))
    strict = to_document([fine, missed])["summary"]["0.01"]
    assert strict["harmony_not_reached"] == ["missed"]
    assert strict["worst_vs_best_baseline"] is None
    assert (strict["n_vs_best_baseline"], strict["n_datasets"]) == (1, 2)


def test_the_better_hpa_counts() -> None:
    result = make_result()
    result.policies["hpa_clipped"] = result.policies["trailing_percentile"]
    assert to_document([result])["summary"]["0.01"]["vs_hpa"] == pytest.approx(0.75)


def test_what_does_not_exist_is_null_never_nan() -> None:
    replicates = {0.01: [np.nan, -0.1], 0.05: [np.nan, np.nan]}
    document = to_document([make_result(unknown=1, replicates=replicates)])
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text) == document
    policies = run_of(document, 0.01, "w1")
    assert policies["harmony"]["violation_rate"] is None
    assert policies["harmony"]["unserved"] is None
    assert policies["harmony"]["gpu_hours"] == pytest.approx(33.6)
    # the other workload carries the means
    assert document["datasets"][0]["deployed"]["0.01"]["harmony"]["rate"] == pytest.approx(0.012)


def test_merging_documents_equals_one_document_of_all() -> None:
    one = make_result("one", replicates={0.01: [-0.1, -0.2], 0.05: [-0.3, 0.1]})
    two = make_result("two", trailing=((0.001, 2.0), (0.01, 1.2), (0.05, 1.0)))
    apart = [json.loads(json.dumps(to_document([r]))) for r in (one, two)]
    assert merge_documents(apart) == to_document([one, two])
    assert merge_documents([merge_documents(apart)]) == to_document([one, two])


def test_a_promise_that_only_some_data_sets_ran_is_summed_up_over_those() -> None:
    one, two = to_document([make_result("one")]), to_document([make_result("two")])
    for field in ("matched", "deployed", "best_baseline", "replicates"):
        del two["datasets"][0][field]["0.05"]
    merged = merge_documents([one, two])
    assert merged["summary"]["0.01"]["n_datasets"] == 2
    assert merged["summary"]["0.05"]["n_datasets"] == 1


def test_a_data_set_counts_once() -> None:
    document = to_document([make_result()])
    with pytest.raises(InvalidInput, match="hand: more than one run"):
        merge_documents([document, document])
    with pytest.raises(InvalidInput, match="at least one"):
        merge_documents([])


@pytest.mark.parametrize("text", ["[]", "{", '{"models": {}}'])
def test_a_file_that_is_no_document_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"x\.json"):
        load_documents([path])


def test_every_promise_is_in_every_part() -> None:
    document = to_document([make_result()])
    (one,) = document["datasets"]
    for field in ("matched", "deployed", "best_baseline", "replicates"):
        assert list(one[field]) == ["0.01", "0.05"]
    assert {run["epsilon"] for run in document["runs"]} == set(EPSILONS)
