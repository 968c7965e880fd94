"""What a benchmark of deciders writes: plain numbers, so that runs on several files can be merged.

A figure that does not exist (a rate that no setting reaches, a workload without known demand) is
null. Costs are those of one GPU per replica at the list price of the fleet generator's H100.

Shapes: G settings, W workloads, T steps of prelude and test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.kernel.errors import InvalidInput
from services.lab.bench.decide.figures import (
    WorkloadFigures,
    epsilon_key,
    number,
    workload_figures,
)
from services.lab.bench.decide.frontier import DAY_S, Curve, blocks_of, curve
from services.lab.bench.decide.rates import (
    add_cost_of_not_knowing,
    fleet_rates,
    workload_rates,
)
from services.lab.bench.decide.run import (
    DecideResult,
    PolicyResult,
    best_rival,
    task_block,
)
from services.lab.bench.decide.settled import settled_sums
from services.lab.bench.decide.summary import summarise
from services.lab.bench.decide.task import MAX_UTILISATION, MEAN_GPUS
from services.lab.bench.decide.truth import MEASURED, TOLD_TRUTH
from services.simulator.fleet.profiles import PRICE_USD_PER_GPU_HOUR
from services.simulator.grid_run import GridRun
from services.simulator.policies.rivals import HARMONY, ORACLE
from services.simulator.scoreboard import mean_known

GPU_TYPE = "H100"
USD_PER_GPU_HOUR = PRICE_USD_PER_GPU_HOUR[GPU_TYPE]
TUNED_PRICE = "harmony_tuned_price"
"""Harmony's planner at one price of risk chosen on the prelude, as the rivals choose theirs."""


def to_document(results: Sequence[DecideResult]) -> dict[str, Any]:
    """The document of `harmony bench decide --json`; see docs/benchmarks/decide.md.

    Raises:
        InvalidInput: Two results are of one data set.
    """
    runs = [run for result in results for run in _runs(result)]
    return _document(runs, [_dataset(result) for result in results])


def merge_documents(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One document of several; the summary is made anew over all their data sets.

    Raises:
        InvalidInput: There is none, or a data set appears twice.
    """
    runs = [run for document in documents for run in document["runs"]]
    return _document(runs, [one for document in documents for one in document["datasets"]])


def load_documents(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Documents written by `harmony bench decide --json`.

    Raises:
        InvalidInput: A file is none.
    """
    found = []
    for path in paths:
        try:
            document = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{path}: not a readable JSON file ({error})") from error
        if not isinstance(document, dict) or not {"runs", "datasets"} <= document.keys():
            raise InvalidInput(f"{path}: no document of `harmony bench decide --json`")
        found.append(document)
    return found


def _document(runs: list[dict[str, Any]], datasets: list[dict[str, Any]]) -> dict[str, Any]:
    if not datasets:
        raise InvalidInput("no benchmark to report: give at least one")
    names = [one["data"] for one in datasets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(f"{', '.join(twice)}: more than one run; each data set counts once")
    return {
        "assumptions": {
            "gpu_type": GPU_TYPE,
            "usd_per_gpu_hour": USD_PER_GPU_HOUR,
            "gpus_per_replica": 1,
            "max_utilisation": MAX_UTILISATION,
            "mean_gpus_of_training_part": MEAN_GPUS,
        },
        "summary": summarise(datasets),
        "datasets": datasets,
        "runs": runs,
    }


@dataclass(frozen=True, slots=True)
class _Arm:
    """A policy with the setting it is deployed with.

    Attributes:
        run: Its settings' runs.
        curve: Its settings as points.
        setting: The one deployed.
        kept: Whether that one kept the promise where it was chosen; None: it was not chosen there.
    """

    run: GridRun
    curve: Curve
    setting: int
    kept: bool | None


def _as_deployed(result: DecideResult, epsilon: float) -> dict[str, _Arm]:
    """Every policy with the setting it would be deployed with."""
    grids = {TUNED_PRICE if n == HARMONY else n: p for n, p in result.policies.items()}
    found = {HARMONY: _arm(result.deployed, epsilon, is_chosen=False)}
    found |= {name: _arm(policy, epsilon, is_chosen=True) for name, policy in grids.items()}
    for name, policy in result.ablations.items():
        found[name] = _arm(policy, epsilon, is_chosen=False)
    found[ORACLE] = _Arm(result.oracle, _oracle_curve(result), 0, None)
    return found


def _arm(policy: PolicyResult, epsilon: float, *, is_chosen: bool) -> _Arm:
    kept = policy.tuned[epsilon] if is_chosen else None
    return _Arm(policy.run, policy.curve, policy.chosen[epsilon], kept)


def _runs(result: DecideResult) -> list[dict[str, Any]]:
    """One entry per workload and promise."""
    task = result.task
    oracle_hours = workload_figures(task, result.oracle, 0).gpu_hours
    found = []
    for epsilon in result.epsilons:
        figures = {
            name: workload_figures(task, arm.run, arm.setting)
            for name, arm in _as_deployed(result, epsilon).items()
        }
        for w, workload in enumerate(task.names):
            policies = {
                name: _workload_json(f, w, float(oracle_hours[w])) for name, f in figures.items()
            }
            add_cost_of_not_knowing(policies, "gpu_hours")
            found.append(
                {
                    "data": task.forecast.data,
                    "workload": workload,
                    "epsilon": epsilon,
                    "policies": policies,
                }
            )
    return found


def _workload_json(figures: WorkloadFigures, w: int, oracle_hours: float) -> dict[str, Any]:
    hours = float(figures.gpu_hours[w])
    return {
        "gpu_hours": number(hours),
        "cost_usd": number(hours * USD_PER_GPU_HOUR),
        "violation_rate": number(figures.violation_rate[w]),
        **workload_rates(figures, w),
        "unserved": number(figures.unserved[w]),
        "churn_per_day": number(figures.churn_per_day[w]),
        "oracle_ratio": number(hours / oracle_hours) if oracle_hours > 0 else None,
    }


def _dataset(result: DecideResult) -> dict[str, Any]:
    """All that the summary, the tables and the plots of a data set are made of."""
    task = result.task
    curves = _curves(result)
    ablations = list(result.ablations)
    forecast = [n for n, p in result.policies.items() if p.reads_forecasts and n != HARMONY]
    best = {e: best_rival(result, e) for e in result.epsilons}
    n_counted = task.course.n_steps - task.n_prelude
    return {
        "data": task.forecast.data,
        "workloads": len(task.names),
        "test_steps": n_counted,
        "step_s": task.course.step_s,
        "bootstrap_days": n_counted * task.course.step_s / DAY_S,
        "bootstrap_blocks": int(result.yard.known.shape[1]),
        "seed": result.seed,
        "options": asdict(task.options),
        "n_settings": {name: int(c.rate.size) for name, c in curves.items()},
        "rivals": [n for n, p in result.policies.items() if not p.reads_forecasts],
        "forecast_policies": forecast,
        "ablations": ablations,
        "matched": {
            epsilon_key(e): {n: number(c.at(e)) for n, c in curves.items() if n != ORACLE}
            for e in result.epsilons
        },
        "best_baseline": {epsilon_key(e): found and found[0] for e, found in best.items()},
        "deployed": {epsilon_key(e): _deployed_json(result, e) for e in result.epsilons},
        "settled": {epsilon_key(e): _settled_json(result, e) for e in result.epsilons},
        "frontier": {name: _points(result, name, c) for name, c in curves.items()},
        "replicates": {
            epsilon_key(e): [number(v) for v in values] for e, values in result.replicates.items()
        },
    }


def _settled_json(result: DecideResult, epsilon: float) -> dict[str, Any]:
    """What Harmony's arms did once they had decided for two days, and what no count avoids."""
    arms = {HARMONY: result.deployed}
    arms |= {n: p for n, p in result.ablations.items() if n in (MEASURED, TOLD_TRUTH)}
    runs = {name: (arm.run, arm.chosen[epsilon]) for name, arm in arms.items()}
    runs[ORACLE] = (result.oracle, 0)
    return {
        name: settled_sums(result.task, run, setting, result.first_step)
        for name, (run, setting) in runs.items()
    }


def _curves(result: DecideResult) -> dict[str, Curve]:
    """Every policy's frontier."""
    found = {name: policy.curve for name, policy in result.policies.items()}
    return {**found, ORACLE: _oracle_curve(result)}


def _oracle_curve(result: DecideResult) -> Curve:
    task = result.task
    blocks = blocks_of(result.oracle, task.is_known, task.n_prelude, task_block(task))
    return curve(blocks, result.yard)


def _points(result: DecideResult, name: str, found: Curve) -> list[list[Any]]:
    """[rate, cost over the oracle's, setting in words] of each setting."""
    run = result.oracle if name == ORACLE else result.policies[name].run
    points = zip(found.rate, found.ratio, run.labels, strict=True)
    return [[number(rate), number(ratio), label] for rate, ratio, label in points]


def _deployed_json(result: DecideResult, epsilon: float) -> dict[str, Any]:
    """Every policy as deployed, means over workloads."""
    found: dict[str, Any] = {}
    for name, arm in _as_deployed(result, epsilon).items():
        figures = workload_figures(result.task, arm.run, arm.setting)
        found[name] = {
            "rate": number(arm.curve.rate[arm.setting]),
            **fleet_rates(figures),
            "demand_weighted_rate": number(mean_known(figures.demand_weighted_rate)),
            "cost_ratio": number(arm.curve.ratio[arm.setting]),
            "gpu_hours": number(float(np.sum(figures.gpu_hours))),
            "unserved": number(mean_known(figures.unserved)),
            "churn_per_day": number(mean_known(figures.churn_per_day)),
            "setting": arm.run.labels[arm.setting],
            "kept_where_chosen": arm.kept,
        }
    add_cost_of_not_knowing(found, "cost_ratio")
    return found
