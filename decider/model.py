"""Bayesian models of lead time and capacity, partially pooled (PyMC).

Lead time of start i of workload w on GPU type g(w):

    log L_i ~ Normal(mu_w, sigma_g),   mu_w ~ Normal(theta_g, tau),   theta_g ~ Normal(m, 1)

A start that is still on its way at age a contributes P(L > a): right-censored, never dropped.

Capacity of one replica of workload w, measured as a load at which its SLO was just held:

    log y_i ~ Normal(kappa_w, s),      kappa_w ~ Normal(kappa_g, omega)

Only this file and `decider.posterior` import PyMC; the decision path never does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pymc as pm

from decider.errors import InvalidRequest
from decider.types import BoolArray, FloatArray, IntArray


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


@dataclass(frozen=True, slots=True)
class CapacityData:
    """Loads per replica at which the SLO was just held.

    Attributes:
        load: (N,) load per ready replica; > 0.
        workload: (N,) index of the workload.
        prior_load: (W,) stated capacity per workload, the location of its prior.
    """

    load: FloatArray
    workload: IntArray
    prior_load: FloatArray

    def __post_init__(self) -> None:
        """Refuse data that no model could use."""
        if self.load.size == 0 or self.workload.size != self.load.size:
            raise InvalidRequest("load and workload must be (N,) with N >= 1")
        if not ((self.load > 0).all() and (self.prior_load > 0).all()):
            raise InvalidRequest("load and prior_load must be > 0")


def lead_time_model(data: StartData) -> pm.Model:
    """The lead-time model with its data."""
    log_seconds = np.log(data.seconds)
    n_types = int(data.gpu_type.max()) + 1
    upper = np.where(data.is_censored, log_seconds, np.inf)
    with pm.Model() as model:
        theta = pm.Normal("theta", float(np.median(log_seconds)), 1.0, shape=n_types)
        # A spread that may be exactly zero makes a funnel that no sampler leaves: the log-normal
        # priors say "small, not none", and with starts per workload the centred form mixes best.
        tau = pm.LogNormal("tau", np.log(0.2), 0.5)
        mu = pm.Normal("mu", theta[data.gpu_type], tau, shape=data.gpu_type.size)
        sigma = pm.LogNormal("sigma", np.log(0.4), 0.6, shape=n_types)
        law = pm.Normal.dist(mu[data.workload], sigma[data.gpu_type[data.workload]])
        pm.Censored("log_seconds", law, lower=None, upper=upper, observed=log_seconds)
    return model


def capacity_model(data: CapacityData) -> pm.Model:
    """The capacity model with its data: deviations from the stated capacity are pooled."""
    residual = np.log(data.load) - np.log(data.prior_load)[data.workload]
    with pm.Model() as model:
        bias = pm.Normal("bias", 0.0, 0.3)
        omega = pm.LogNormal("omega", np.log(0.1), 0.5)
        deviation = pm.Normal("deviation", bias, omega, shape=data.prior_load.size)
        noise = pm.LogNormal("noise", np.log(0.1), 0.7)
        pm.Normal("residual", deviation[data.workload], noise, observed=residual)
    return model
