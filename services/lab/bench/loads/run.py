"""Every arm at every promise on one trace, as sums over days and workloads.

The tables and their bootstrap (`effects`) need no run again. Forecasts and models are kept in a
folder where one is given, so that a run that was cut short goes on.

Shapes: G promises, W workloads, L loads, B blocks of days.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product

import numpy as np

from decider import MissDraws
from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput
from services.lab.bench.ablate.decider_arms import BASE
from services.lab.bench.ablate.record import decision_sums
from services.lab.bench.decide.deployed import Deployed
from services.lab.bench.decide.figures import number
from services.lab.bench.decide.forecasts import check_prelude
from services.lab.bench.decide.frontier import block_sums
from services.lab.bench.decide.run import lead_draws, task_block
from services.lab.bench.forecast.arm import Tell
from services.lab.bench.loads.arms import FULL, LoadArm, load_arms
from services.lab.bench.loads.effects import Document, with_draw
from services.lab.bench.loads.forecasts import LoadForecasts
from services.lab.bench.loads.open_loop import OpenLoop, judged
from services.lab.bench.loads.policy import MeasuredLoads
from services.lab.bench.loads.simulate import simulate_loads
from services.lab.bench.loads.task import LoadTask
from services.simulator.fleet.arrays import FloatArray
from services.simulator.grid_run import GridRun

Keep = Callable[[Document], None]
ForecastsOf = Callable[[str], LoadForecasts]
"""Forecasts by the name of the forecaster (`LoadArm.forecaster`)."""


@dataclass(frozen=True, slots=True)
class LoadBench:
    """What is run on a trace.

    Attributes:
        tasks: The data under one draw of the response after the other, scaled each on its own.
        epsilons: G promises.
        seed: Of the forecasters and of the permutations.
        truth: Which law of truth, in words.
        learn_every: Steps between two looks at the evidence.
        is_open_loop: Whether counts come straight from the forecasts (`open_loop`).
        ages: Open loop: steps since the response last changed, of one fleet after the other;
            empty: it is known.
    """

    tasks: tuple[LoadTask, ...]
    epsilons: tuple[float, ...]
    seed: int
    truth: str
    learn_every: int = 24
    is_open_loop: bool = False
    ages: tuple[int, ...] = ()

    @property
    def task(self) -> LoadTask:
        """The first one: the units of the forecasts."""
        return self.tasks[0]


def bench_loads(
    run: LoadBench, names: Sequence[str], forecasts_of: ForecastsOf, tell: Tell, keep: Keep
) -> Document:
    """Run arms one after the other; `keep` is given the document after each of them.

    Where the response is drawn more than once, every arm meets a draw before the next one; after
    the first draw `keep` is given whole draws only.

    Args:
        run: What is run.
        names: Arms beside Harmony itself; empty: all.
        forecasts_of: Makes or finds forecasts of the first draw, in its units.
        tell: Called with lines of progress.
        keep: Stores the document, or a longer one of the same run.

    Raises:
        InvalidInput: An arm is unknown, or no forecast precedes the counted part.
    """
    arms = chosen_arms(run.task.names, names)
    if run.is_open_loop:
        check_prelude(run.task.decide)
        arms = judged(arms, is_learned=bool(run.ages))
    whole = None
    for at, (task, age) in enumerate(product(run.tasks, run.ages or (None,))):
        one = _header(run, task)
        usual = None
        for arm in arms:
            tell(f"draw {at + 1} of {len(run.tasks) * max(len(run.ages), 1)}, {arm.name}")
            own = _forecasts(run, task, arm, forecasts_of)
            usual = usual or own  # Harmony itself comes first
            started = time.process_time()
            if not arm.has_levels and np.array_equal(own.paths, usual.paths):
                sums = one["arms"][FULL]  # levels hid nothing: all that follows is the same
            elif run.is_open_loop:
                sums = OpenLoop(task, usual, run.epsilons, age).sums(arm, own)
            else:
                found = simulate_loads(policy_of(run, task, arm), task, own, own.first_step)
                sums = _sums(task, found)
            one["arms"][arm.name] = sums
            one["about"][arm.name] = arm.about
            one["seconds"][arm.name] = round(time.process_time() - started, 1)
            if whole is None:
                keep(one)
        if whole is None:
            whole = one
        else:
            whole = with_draw(whole, one)
            keep(whole)
    assert whole is not None
    return whole


def _forecasts(
    run: LoadBench, task: LoadTask, arm: LoadArm, forecasts_of: ForecastsOf
) -> LoadForecasts:
    """What an arm is told of the future, in the units of one draw."""
    own = forecasts_of(arm.forecaster).scaled(
        task.decide.gpus_per_unit / run.task.decide.gpus_per_unit
    )
    return own.changed(arm.paths, make_rng(run.seed, "bench", "loads", "permuted"))


def chosen_arms(loads: Sequence[str], names: Sequence[str]) -> list[LoadArm]:
    """Harmony and arms by name; all of them where none is named.

    Raises:
        InvalidInput: One is unknown.
    """
    known = load_arms(loads)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidInput(f"--arms: {unknown[0]!r} is unknown; known: {', '.join(known)}")
    return [known[name] for name in (dict.fromkeys((FULL, *names)) if names else known)]


def policy_of(run: LoadBench, task: LoadTask, arm: LoadArm) -> MeasuredLoads:
    """Harmony as deployed, as an arm has it."""
    deployed = Deployed(run.epsilons, lead_draws(task.decide), BASE)
    columns = list(arm.columns)
    stated = task.stated_single if len(columns) == 1 else task.stated
    told: tuple[MissDraws, ...] = ()
    if arm.posterior == "told":
        concentration = task.truth.luck.concentration
        told = tuple(task.truth.response.draws(w, float(c)) for w, c in enumerate(concentration))
    return MeasuredLoads(deployed, arm, stated[:, columns], told, learn_every=run.learn_every)


def _header(run: LoadBench, task: LoadTask) -> Document:
    """A document of one draw, without arms."""
    decide = task.decide
    size = task_block(decide)
    part = slice(decide.n_prelude, None)
    known = decide.is_known[:, part].astype(float)
    needed = task.truth.need()[:, part] * known
    return {
        "data": decide.forecast.data,
        "workloads": list(decide.names),
        "left_out": dict(decide.forecast.skipped),
        "loads": list(task.names),
        "truth": run.truth,
        "is_open_loop": run.is_open_loop,
        "ages": list(run.ages),
        "bound_by": [bound_by(task)],
        "draws": 1,
        "test_steps": decide.course.n_steps - decide.n_prelude,
        "step_s": decide.course.step_s,
        "seed": run.seed,
        "learn_every": run.learn_every,
        "epsilons": list(run.epsilons),
        "options": {k: v for k, v in asdict(decide.options).items() if k != "truth"},
        "known": block_sums(known, size).tolist(),
        "needed": block_sums(needed, size).tolist(),
        "about": {},
        "seconds": {},
        "arms": {},
    }


def _sums(task: LoadTask, run: GridRun) -> list[Document]:
    """Per promise (W, B) sums: those of `decision_sums`, and what was believed to be out."""
    decide = task.decide
    found: list[Document] = decision_sums(decide, run)
    believed = replace(run, violation_ratio=run.believed_ratio)
    for own, other in zip(found, decision_sums(decide, believed), strict=True):
        own["believed"] = other["out"]
    return found


def bound_by(task: LoadTask) -> Document:
    """By workload, what each load's own use is over their sum: mean of the counted part."""
    decide = task.decide
    loads = task.truth.loads[:, :, decide.n_prelude :]
    share = loads / task.truth.response.capacity[:, :, None]
    total = share.sum(axis=1, keepdims=True)
    known = np.where(total > 0, total, np.nan)
    mean: FloatArray = np.nanmean(share / known, axis=2)
    return {
        workload: {name: number(float(mean[w, g])) for g, name in enumerate(task.names)}
        for w, workload in enumerate(decide.names)
    }
