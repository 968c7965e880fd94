"""What is known of a response some steps after it last changed: a release starts learning anew.

Before those steps only the stated capacities are known. In them a service holds what one that knows
its response would hold at a promise of 1 %, so that a load that never binds teaches little.

Shapes: W workloads, L loads, N steps.
"""

from __future__ import annotations

import numpy as np

from decider import MissDraws, MissPrior, learn_misses
from services.lab.bench.decide.truth import GOOD_SHARE
from services.lab.bench.loads.arms import LoadArm
from services.lab.bench.loads.evidence import at_mean
from services.lab.bench.loads.task import LoadTask
from services.simulator.fleet.arrays import FloatArray

N_DRAWS = 64


def learned_after(task: LoadTask, held: FloatArray, arm: LoadArm) -> tuple[MissDraws, ...]:
    """(W,) responses as an arm has them after the last steps before the counted part.

    Args:
        task: The benchmark.
        held: (W, N) replicas in those steps; N may be 0.
        arm: Whose posterior.
    """
    steps = np.arange(task.decide.n_prelude - held.shape[1], task.decide.n_prelude)
    shares = [_missed(task, held[:, i], int(t)) for i, t in enumerate(steps)]
    missed = np.array(shares).reshape(steps.size, len(held)).T
    return tuple(_learned(task, w, steps, held[w], missed[w], arm) for w in range(len(task.stated)))


def _missed(task: LoadTask, held: FloatArray, t: int) -> FloatArray:
    """(W,) share of a step's requests that miss with (W,) replicas."""
    workload = np.arange(held.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_replica = np.nan_to_num(task.truth.loads[:, :, t] / held[:, None])
    mean = task.truth.response.mean(per_replica, workload)
    return np.asarray(task.truth.luck.share(mean[None], t)[0])


def _learned(
    task: LoadTask, w: int, steps: FloatArray, held: FloatArray, missed: FloatArray, arm: LoadArm
) -> MissDraws:
    capacity, *further = task.stated[w].tolist()
    prior = MissPrior.stated(capacity, 0.0, 1.0 - GOOD_SHARE, further)
    load, total = task.truth.loads[w][:, steps].T, task.truth.luck.requests[w, steps]
    seen = (load[:, 0] > 0) & (held > 0)
    draws = prior.draws(N_DRAWS)
    if seen.any():
        per_replica = load[seen] / held[seen, None]
        counts = missed[seen] * total[seen], total[seen]
        draws = learn_misses(prior, per_replica, *counts, N_DRAWS).draws
    return at_mean(draws, task.stated[w]) if arm.posterior == "mean" else draws
