"""Fitting the joint flow: the demand and further loads of the same windows, over all steps ahead.

It is fitted after the demand's own flow, to the network's marginals, on windows of which at least
two loads were observed throughout the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from forecaster.config import ForecasterConfig
from forecaster.dataset import Examples
from forecaster.joint import joint_scores, mean_encoding
from forecaster.network.flow import FlowCopula, Scores
from forecaster.network.model import ForecastNet
from forecaster.training.flow_fit import correlation_of
from forecaster.training.loop import examples_on
from forecaster.training.stages import chunks
from forecaster.types import F64

JOINT_FLOW = "joint flow"
"""Name of the stage."""


@dataclass(frozen=True, slots=True)
class JointFlowReport:
    """What the joint flow is worth: validation log density it gains, in nats per window.

    Args:
        further: Further loads that it knows beside the demand.
        n_windows: Training windows.
        over_gaussian: Over one Gaussian copula of all loads and steps.
        over_independent: Over a Gaussian copula of each load's steps, the loads independent.
    """

    further: tuple[str, ...]
    n_windows: int
    over_gaussian: float
    over_independent: float


@torch.no_grad()
def load_scores(net: ForecastNet, examples: Examples, levels: F64, n_loads: int) -> Scores | None:
    """Joint normal scores of the first targets, of windows where two or more are whole.

    None where there is no such window.

    Args:
        net: Network, on any device.
        examples: Examples whose first targets are the loads, on the CPU.
        levels: `(Q,)` quantile levels of the head.
        n_loads: Loads G.
    """
    device = next(net.parameters()).device
    parts = []
    for chunk in chunks(examples):
        whole = (chunk.weight[:, :n_loads] > 0).all(dim=2)
        kept = torch.nonzero(whole.sum(dim=1) > 1)[:, 0]
        if not len(kept):
            continue
        one, present = chunk.rows(kept), whole[kept]
        quantiles, encoding = (part.cpu() for part in net(examples_on(one, device).inputs))
        z, _ = joint_scores(quantiles[:, :n_loads], one.actual[:, :n_loads].numpy(), levels)
        parts.append(Scores(z, mean_encoding(encoding[:, :n_loads], present), present))
    return Scores.concatenate(parts) if parts else None


def start_joint(
    train: Scores, config: ForecasterConfig, n_loads: int, seed: int
) -> tuple[FlowCopula, FlowCopula]:
    """A flow that is the Gaussian copula of the scores, and that of independent loads.

    Args:
        train: Training windows.
        config: Configuration.
        n_loads: Loads G.
        seed: Fixes the first parameters.
    """
    horizon, correlation = config.window.horizon, correlation_of(train.z, train.present)
    generator = torch.Generator().manual_seed(2 * seed + 1)
    flow, apart = (FlowCopula(horizon, config.model, generator, n_loads) for _ in range(2))
    flow.set_correlation(correlation)
    own = torch.kron(torch.eye(n_loads), torch.ones(horizon, horizon))
    apart.set_correlation(correlation * own)
    return flow, apart


@torch.no_grad()
def mean_log_prob(flow: FlowCopula, scores: Scores) -> float:
    """Mean log density of scores, nats per window; both on one device."""
    return float(flow.log_prob(scores.z, scores.encoding, scores.present).mean())
