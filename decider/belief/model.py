"""Bayesian models of lead time and of response curves, partially pooled (PyMC).

Lead time of start i of workload w on GPU type g(w):

    log L_i ~ Normal(mu_w, sigma_g),   mu_w ~ Normal(theta_g, tau),   theta_g ~ Normal(m, 1)

A start that is still on its way at age a contributes P(L > a): right-censored, never dropped.

Response curve of workload w: what latency a step had at its load per ready replica x_i:

    log y_i ~ Normal(log(base_w * (1 + a_w * congestion(rho_i, b))), noise_g)
    rho_i = x_i / kappa_w,             kappa_w = stated capacity_w * factor_w

with log base_w, log a_w and log factor_w normal around a location of their GPU type.

Misses of workload w: how many requests of a step missed a goal at its load per ready replica x_i:

    missed_i ~ BetaBinomial(total_i, miss_w(x_i) * concentration_w, (1 - miss_w) * concentration_w)

with `miss` of `decider.belief.misses`, the log knee over the stated capacity and the log slope
normal around a location of their group, floor and concentration a workload's own. Several loads
are one use (`decider.use`), which has the exponent and the ratios of capacities as parameters. With
variants the load is that of what the mix carries (`decider.miss_draws`), with their worths.

Occupancies of workload w, of several loads only: what replicas were seen to be filled to by loads
x_j tells (`decider.belief.occupancy`) how much of a full replica these use, u_j, and how surely:

    log(use_w(x_j) / full_w) ~ Normal(log u_j, sigma_j)

with use_w their equivalent demand and full_w the one that half of the requests miss at.

Only this file and `decider.belief.posterior` import PyMC; the decision path never does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from decider.belief.capacity import SATURATION
from decider.belief.lead_time import LeadTimeBelief, most_telling_age_s, update_belief
from decider.belief.miss_model import MissData
from decider.belief.miss_prior import (
    CONCENTRATION,
    FLOOR,
    GROUP_SIGMAS,
    KNEE,
    MEANS,
    OWN_SIGMAS,
    RATIO_GROUP_SIGMA,
    RATIO_SPREAD,
    SHARING_MEAN,
    SHARING_SIGMA,
    SLOPE,
    SPREAD_SIGMA,
    SPREADS,
    WORTH_SIGMA,
)
from decider.belief.response_model import ResponseData
from decider.errors import InvalidRequest
from decider.miss_draws import inside
from decider.types import BoolArray, FloatArray, IntArray

LogUse = Callable[[Any, Any], Any]

_VAGUE = LeadTimeBelief.from_median(90.0, 1.5, 1.0)
"""Start-up times before any was seen: `lead_time_model` says the same of their location."""


@dataclass(frozen=True, slots=True)
class StartData:
    """Observed starts.

    Attributes:
        seconds: (N,) lead time, or age where censored; > 0.
        is_censored: (N,) still on its way at that age.
        workload: (N,) index of the workload.
        gpu_type: (W,) index of each workload's GPU type.
    """

    seconds: FloatArray
    is_censored: BoolArray
    workload: IntArray
    gpu_type: IntArray

    def __post_init__(self) -> None:
        """Refuse data that no model could use."""
        n = self.seconds.size
        if n == 0 or self.is_censored.size != n or self.workload.size != n:
            raise InvalidRequest("seconds, is_censored and workload must be (N,) with N >= 1")
        if not (np.isfinite(self.seconds).all() and (self.seconds > 0).all()):
            raise InvalidRequest("seconds must be finite and > 0")
        if self.workload.min() < 0 or self.workload.max() >= self.gpu_type.size:
            raise InvalidRequest("workload must index gpu_type")


def lead_time_inputs(data: StartData) -> dict[str, FloatArray]:
    """Data of `lead_time_model`: log seconds, and their bound where censored.

    A start on its way counts as no older than one of its workload tells of: by what the starts of
    its GPU type that are finished say, and its own.
    """
    log_seconds = np.log(np.minimum(data.seconds, _most_telling_s(data)))
    upper = np.where(data.is_censored, log_seconds, np.inf)
    return {"observed_log_s": log_seconds, "upper_log_s": upper}


def _most_telling_s(data: StartData) -> FloatArray:
    """(N,) age up to which each start on its way tells of its law; infinite of finished ones."""
    none, most = np.zeros(0), np.full(data.seconds.size, np.inf)
    is_done, kind = ~data.is_censored, data.gpu_type[data.workload]
    for type_ in np.unique(kind[data.is_censored]):
        of_type = update_belief(_VAGUE, data.seconds[is_done & (kind == type_)], none)
        prior = LeadTimeBelief(of_type.mu, of_type.sigma)
        for owner in np.unique(data.workload[data.is_censored & (kind == type_)]):
            own = data.workload == owner
            age_s = most_telling_age_s(prior, data.seconds[own & is_done])
            most[own & data.is_censored] = age_s
    return most


def lead_time_model(data: StartData) -> pm.Model:
    """The lead-time model with its data.

    The location's prior spans start-up times from ten seconds to half an hour (90 s times or over
    exp(1.5) each way, twice), whatever the data.
    """
    n_types = int(data.gpu_type.max()) + 1
    with pm.Model() as model:
        given = {name: pm.Data(name, v) for name, v in lead_time_inputs(data).items()}
        theta = pm.Normal("theta", np.log(90.0), 1.5, shape=n_types)
        # A spread that may be exactly zero makes a funnel that no sampler leaves: the log-normal
        # priors say "small, not none", and with starts per workload the centred form mixes best.
        tau = pm.LogNormal("tau", np.log(0.2), 0.5)
        mu = pm.Normal("mu", theta[data.gpu_type], tau, shape=data.gpu_type.size)
        sigma = pm.LogNormal("sigma", np.log(0.4), 0.6, shape=n_types)
        law = pm.Normal.dist(mu[data.workload], sigma[data.gpu_type[data.workload]])
        pm.Censored(
            "log_seconds",
            law,
            lower=None,
            upper=given["upper_log_s"],
            observed=given["observed_log_s"],
        )
    return model


def response_inputs(data: ResponseData) -> dict[str, FloatArray]:
    """Data of `response_model`: log load over the stated capacity, log latency.

    The `near_` arrays are where a chain starts: see `ResponseData.near`.
    """
    stated = np.log(data.prior_load)[data.workload]
    seen = {"log_load": np.log(data.load) - stated, "log_latency": np.log(data.latency_ms)}
    return seen | {f"near_{name}": value for name, value in data.near().items()}


def response_model(data: ResponseData) -> pm.Model:
    """The response-curve model with its data."""
    with pm.Model() as model:
        given = {name: pm.Data(name, v) for name, v in response_inputs(data).items()}
        base = _pooled("log_base", _Prior(np.log(300.0), 2.0, 0.5), data, given)
        queueing = _pooled("log_queueing", _Prior(np.log(0.5), 1.0, 0.3), data, given)
        factor = _pooled("log_factor", _Prior(np.log(1.25), 0.3, 0.15), data, given)
        sharpness = pm.LogNormal("sharpness", np.log(2.0), 0.3)
        noise = pm.LogNormal("noise", np.log(0.15), 0.6, shape=data.n_types)
        log_rho = given["log_load"] - factor[data.workload]
        rho = pt.exp(log_rho)
        below = 1.0 / (1.0 - pt.minimum(rho, SATURATION))
        beyond = pt.maximum(rho - SATURATION, 0.0) / (1.0 - SATURATION) ** 2
        waiting = pt.exp(queueing[data.workload] + sharpness * log_rho) * (below + beyond)
        location = base[data.workload] + pt.log1p(waiting)
        spread = noise[data.gpu_type[data.workload]]
        pm.Normal("observed_log_latency", location, spread, observed=given["log_latency"])
    return model


@dataclass(frozen=True, slots=True)
class _Prior:
    """Mean and standard deviation of a type's location; median of the spread within a type."""

    mean: float
    sigma: float
    spread: float


def _pooled(name: str, prior: _Prior, data: ResponseData, given: Mapping[str, Any]) -> Any:
    """(W,) normal parameter pooled within GPU types: its location, its spread, its offset.

    What is sampled is the offset from `near`, so that 0 is a good start whatever the data.

    Args:
        name: Name of the parameter.
        prior: Its prior.
        data: Workloads and their types.
        given: The model's data by name.
    """
    location = pm.Normal(f"{name}_type", prior.mean, prior.sigma, shape=data.n_types)
    spread = pm.LogNormal(f"{name}_spread", np.log(prior.spread), 0.5)
    near = given[f"near_{name}"]
    types = data.gpu_type
    offset = pm.Normal(f"{name}_offset", location[types] - near, spread, shape=types.size)
    return near + offset


def miss_inputs(data: MissData) -> dict[str, FloatArray | IntArray]:
    """Data of `miss_model`: log load over the stated capacity, counts, whose they are.

    All that a workload states is among them, so a model that was compiled for one batch serves
    another (`MissFits`). The `near_` arrays say where misses are best known, and what they are
    there: see `MissData.near`.
    """
    near = {f"near_{name}": value for name, value in data.near().items()}
    odds = np.log(data.prior_share / (1.0 - data.prior_share))
    counts: dict[str, FloatArray | IntArray] = {
        **{"missed": data.missed, "total": data.total, "workload": data.workload},
        **{"group": data.group, "prior_sigma": data.prior_sigma, "prior_log_odds": odds},
    }
    if data.n_variants:
        counts["mix"] = data.mix
    if data.n_further:
        del near["near_log_load"]
        return {"log_shares": data.log_shares} | counts | near | _full_inputs(data)
    log_load = np.log(data.load) - np.log(data.prior_capacity)[data.workload]
    return {"log_load": log_load} | counts | near


def _full_inputs(data: MissData) -> dict[str, FloatArray | IntArray]:
    laws = [law for _, law in data.full]
    return {
        "full_workload": np.array([row for row, _ in data.full], dtype=np.int64),
        "full_log_shares": data.full_log_shares,
        "full_log_use": np.array([law.log_use for law in laws]),
        "full_sigma": np.array([law.sigma for law in laws]),
    }


def miss_model(data: MissData) -> pm.Model:
    """The model of misses with its data.

    Steps below the knee say what floor and curable misses are in sum, not which of them it is: in
    knee and floor that is a sharp bend. So the log odds of the sum near the loads seen are sampled,
    and those of its curable part; the slope's inverse is the Jacobian. Several loads are one there:
    how they are weighed moves the knee, not those odds.
    """
    with pm.Model() as model:
        given = {name: pm.Data(name, v) for name, v in miss_inputs(data).items()}
        n_workloads, of = data.group.size, given["workload"]
        log_slope = _pooled_normal("log_slope", SLOPE, data, given)
        all_odds = given["near_log_odds"] + pm.Flat("log_odds_offset", shape=n_workloads)
        curable_part = pm.Flat("logit_curable", shape=n_workloads)
        curable_odds = all_odds + _log_sigmoid(curable_part)
        log_floor = _log_sigmoid(-curable_part) + _log_sigmoid(all_odds)
        floor = pm.Deterministic("logit_floor", log_floor - pt.log1p(-pt.exp(log_floor)))
        far = (given["prior_log_odds"] - curable_odds) * pt.exp(-log_slope)
        log_use = _log_use_law(data, given) if data.n_further else None
        log_loads = _log_loads(log_use, data, given)
        log_load, near_log_load = _per_carried(log_loads, data, given)
        knee = pm.Deterministic("knee", near_log_load + far)
        if log_use is not None:
            full = knee - given["prior_log_odds"] * pt.exp(-log_slope)
            _see_occupancies(log_use, full, given)
        location, spread = _group("knee", KNEE, data)
        spread_of_each = pt.sqrt(spread**2 + given["prior_sigma"] ** 2)
        knee_law = pm.Normal.dist(location[given["group"]], spread_of_each)
        floor_law = pm.Normal.dist(MEANS[FLOOR], OWN_SIGMAS[0])
        logp = pm.logp(knee_law, knee) + pm.logp(floor_law, floor) - log_slope
        pm.Potential("prior_of_knee_and_floor", logp.sum())
        near = pm.Normal(
            "log_concentration", MEANS[CONCENTRATION], OWN_SIGMAS[1], shape=n_workloads
        )
        beyond = (log_load - near_log_load[of]) * pt.exp(log_slope)[of]
        curable = pt.sigmoid(curable_odds[of] + beyond)
        _count_misses(pt.exp(log_floor), curable, pt.exp(near), given)
    return model


def _log_use_law(data: MissData, given: Mapping[str, Any]) -> LogUse:
    """From (K, 1+F) log shares of workloads (K,) to the log of their equivalent demand.

    Over the stated capacity for the demand; see `decider.belief.miss_prior`.
    """
    n_loads, n_workloads = data.n_further, data.group.size
    location = pm.Normal("log_ratio_group", 0.0, RATIO_GROUP_SIGMA, shape=(data.n_groups, n_loads))
    spread = pm.LogNormal("log_ratio_spread", np.log(RATIO_SPREAD), SPREAD_SIGMA, shape=n_loads)
    own = pt.sqrt(spread[None, :] ** 2 + given["prior_sigma"][:, None] ** 2)
    ratio = pm.Normal("log_ratio", location[given["group"]], own, shape=(n_workloads, n_loads))
    excess = pm.Normal("log_excess", SHARING_MEAN, SHARING_SIGMA, shape=n_workloads)
    sharing = 1.0 + pt.exp(excess)

    def log_use(shares: Any, of: Any) -> Any:
        most = shares.max(axis=1)
        demand = pt.exp(sharing[of] * (shares[:, 0] - most))
        further = pt.exp(sharing[of][:, None] * (shares[:, 1:] - most[:, None] - ratio[of]))
        return most + pt.log(demand + further.sum(axis=1)) / sharing[of]

    return log_use


def _log_loads(log_use: LogUse | None, data: MissData, given: Mapping[str, Any]) -> tuple[Any, Any]:
    """(N,) log load over the stated capacity, and (W,) where misses are best known.

    Of several loads it is that of the equivalent demand.
    """
    if log_use is None:
        return given["log_load"], given["near_log_load"]
    every = np.arange(data.group.size)
    return log_use(given["log_shares"], given["workload"]), log_use(given["near_log_shares"], every)


def _see_occupancies(log_use: LogUse, full: Any, given: Mapping[str, Any]) -> None:
    """The likelihood of what occupancies tell (`decider.belief.occupancy`).

    Args:
        log_use: From log shares to the log of the equivalent demand.
        full: (W,) log of that which half of the requests miss at.
        given: The model's data by name.
    """
    of = given["full_workload"]
    off = log_use(given["full_log_shares"], of) - full[of] - given["full_log_use"]
    pm.Potential("seen_occupancies", (-0.5 * (off / given["full_sigma"]) ** 2).sum())


def _per_carried(
    log_loads: tuple[Any, Any], data: MissData, given: Mapping[str, Any]
) -> tuple[Any, Any]:
    """The same loads per reference replica that the mix truly carries, not as stated."""
    if not data.n_variants:
        return log_loads
    shape = (data.group.size, data.n_variants)
    own = pt.sqrt(WORTH_SIGMA**2 + given["prior_sigma"] ** 2)[:, None]
    worth = pm.Normal("log_worth", 0.0, own, shape=shape)
    excess = pt.exp(worth) - 1.0
    carried = 1.0 + (given["mix"] * excess[given["workload"]]).sum(axis=1)
    near_carried = 1.0 + (given["near_mix"] * excess).sum(axis=1)
    log_load, near_log_load = log_loads
    return log_load - pt.log(carried), near_log_load - pt.log(near_carried)


def _count_misses(floor: Any, curable: Any, near: Any, given: Mapping[str, Any]) -> None:
    """The likelihood of the steps.

    Args:
        floor: (W,) share that no replica cures.
        curable: (N,) share of the rest that each step's load makes miss.
        near: (W,) concentration.
        given: The model's data by name.
    """
    of = given["workload"]
    least = floor[of]
    share = inside(least + (1.0 - least) * curable)
    alpha, beta = share * near[of], (1.0 - share) * near[of]
    law = (alpha, beta, pt.gammaln(near)[of], given["total"])
    pm.CustomDist("observed_missed", *law, logp=_log_misses, observed=given["missed"])


def _log_misses(missed: Any, alpha: Any, beta: Any, log_any: Any, total: Any) -> Any:
    """(N,) log likelihood of a beta-binomial count, but for what no parameter moves.

    `pm.BetaBinomial` also counts the ways to choose who missed, and takes gamma functions at each
    step of what depends on the workload alone: without that a gradient takes half as long.

    Args:
        missed: (N,) requests that missed.
        alpha: (N,) share that misses, times the concentration.
        beta: (N,) share that does not, times the concentration.
        log_any: (N,) log gamma of the concentration.
        total: (N,) requests.
    """
    log_missed = pt.gammaln(alpha + missed) - pt.gammaln(alpha)
    log_kept = pt.gammaln(beta + total - missed) - pt.gammaln(beta)
    return log_missed + log_kept - (pt.gammaln(alpha + beta + total) - log_any)


def _log_sigmoid(log_odds: Any) -> Any:
    return -pt.softplus(-log_odds)


def _group(name: str, at: int, data: MissData) -> tuple[Any, Any]:
    """(G,) location of a coordinate per group, and the spread of workloads around it."""
    location = pm.Normal(f"{name}_group", MEANS[at], GROUP_SIGMAS[at], shape=data.n_groups)
    return location, pm.LogNormal(f"{name}_spread", np.log(SPREADS[at]), SPREAD_SIGMA)


def _pooled_normal(name: str, at: int, data: MissData, given: Mapping[str, Any]) -> Any:
    """(W,) normal coordinate, pooled within groups."""
    location, spread = _group(name, at, data)
    return pm.Normal(name, location[given["group"]], spread, shape=data.group.size)
