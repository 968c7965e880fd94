"""Sampling the models with nutpie, and the diagnostics that gate a posterior's promotion."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import arviz as az
import numpy as np
import nutpie
import pymc as pm

from decider.belief.miss_model import MissData, MissPosterior, PooledDraws
from decider.belief.miss_prior import CONCENTRATION, MEANS, SLOPE
from decider.belief.model import (
    StartData,
    lead_time_model,
    miss_inputs,
    miss_model,
    response_model,
)
from decider.belief.response_model import ResponseData, ResponsePosterior
from decider.errors import PosteriorNotConverged
from decider.types import FloatArray, IntArray

MAX_R_HAT = 1.02
MIN_ESS = 300.0
MAX_DIVERGENT_RATIO = 0.005


@dataclass(frozen=True, slots=True)
class SamplerConfig:
    """Settings of the sampler.

    Attributes:
        n_tune: Steps of adaptation per chain.
        n_draws: Draws kept per chain.
        n_chains: Chains.
        target_accept: Acceptance that the step size aims at.
        is_low_rank: Whether the mass matrix learns the strongest correlations.
    """

    n_tune: int = 500
    n_draws: int = 500
    n_chains: int = 4
    target_accept: float = 0.95
    is_low_rank: bool = False

    def longer(self, times: int) -> SamplerConfig:
        """As these, with `times` the steps of adaptation and the draws."""
        return replace(self, n_tune=times * self.n_tune, n_draws=times * self.n_draws)


RESPONSE_SAMPLER = SamplerConfig(300, 300, 4, 0.9, is_low_rank=True)
"""Base, queueing and divergence of a curve are strongly correlated: with a diagonal mass matrix a
trajectory takes four times the steps."""
RESPONSE_START = {f"log_{name}_offset": 0.0 for name in ("base", "queueing", "factor")}
MISS_SAMPLER = SamplerConfig(300, 500, 4, 0.98, is_low_rank=True)
"""Where loads stay below the knee, slope and curable part are one ridge: with an acceptance of 0.95
4, 14 and 1 transitions diverged there (three seeds), with 0.98 none, 1 and none, as quickly."""
MISS_START = {
    "log_slope": float(MEANS[SLOPE]) - 0.1,
    "log_odds_offset": 0.0,
    "logit_curable": 0.0,
    "log_concentration": float(MEANS[CONCENTRATION]) - 0.1,
}
"""Beside the prior's means: at these, without steps, a gradient is zero and no chain starts."""
MISS_AIDS = ("log_odds_offset", "logit_curable")
"""Where nothing curable is missed, how little that is has no end and no meaning."""
N_MODELS = 4
"""Compiled models that `MissFits` keeps: whole batches and a last one, of one load and of more."""


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Diagnostics of the chains: a posterior that has not mixed is not used.

    Attributes:
        max_r_hat: Largest split R-hat of any parameter (Gelman et al., Bayesian Data Analysis,
            3rd ed., section 11.4).
        min_ess: Smallest effective sample size.
        n_divergent: Divergent transitions after tuning.
        n_draws: Draws in all.
    """

    max_r_hat: float
    min_ess: float
    n_divergent: int
    n_draws: int

    def fault(self) -> str:
        """Why the posterior must not be used; empty when it may."""
        if not self.max_r_hat <= MAX_R_HAT:
            return f"R-hat {self.max_r_hat:.3f} is above {MAX_R_HAT}"
        if not self.min_ess >= MIN_ESS:
            return f"effective sample size {self.min_ess:.0f} is below {MIN_ESS:.0f}"
        if self.n_divergent > MAX_DIVERGENT_RATIO * self.n_draws:
            return f"{self.n_divergent} of {self.n_draws} transitions diverged"
        return ""

    def check(self) -> None:
        """Refuse a posterior that has not mixed.

        Raises:
            PosteriorNotConverged: With the reason.
        """
        fault = self.fault()
        if fault:
            raise PosteriorNotConverged(fault)


@dataclass(frozen=True, slots=True)
class LeadTimePosterior:
    """Draws of the lead-time law.

    Attributes:
        mu: (P, W) location of log seconds per workload.
        theta: (P, G) location per GPU type.
        tau: (P,) spread of workloads within a type.
        sigma: (P, G) scale per GPU type.
        diagnostics: Convergence.
    """

    mu: FloatArray
    theta: FloatArray
    tau: FloatArray
    sigma: FloatArray
    diagnostics: Diagnostics

    def predictive(self, row: int, gpu_type: int, rng: np.random.Generator) -> FloatArray:
        """(P,) lead times of a further start of workload `row`, in seconds."""
        noise = rng.standard_normal(self.mu.shape[0])
        return np.asarray(np.exp(self.mu[:, row] + self.sigma[:, gpu_type] * noise))

    def predictive_new(self, gpu_type: int, rng: np.random.Generator) -> FloatArray:
        """(P,) lead times of a workload not seen yet on a GPU type: it borrows strength."""
        spread, noise = rng.standard_normal((2, self.tau.size))
        mu = self.theta[:, gpu_type] + self.tau * spread
        return np.asarray(np.exp(mu + self.sigma[:, gpu_type] * noise))


def fit_lead_time(data: StartData, config: SamplerConfig, seed: int) -> LeadTimePosterior:
    """Sample the lead-time posterior. Whether it may be used is for `diagnostics` to say."""
    draws, diagnostics = CompiledModel.of(lead_time_model(data)).sample(config, seed)
    return LeadTimePosterior(draws["mu"], draws["theta"], draws["tau"], draws["sigma"], diagnostics)


def fit_response(
    data: ResponseData, config: SamplerConfig, seed: int
) -> tuple[ResponsePosterior, Diagnostics]:
    """Sample the response curves; chains that have not mixed a second time, three times as long.

    Whether they may be used then is for the diagnostics to say.
    """
    compiled = CompiledModel.of(response_model(data), RESPONSE_START)
    draws, diagnostics = compiled.sample(config, seed)
    if diagnostics.fault():
        # Where no load comes near saturation, queueing and factor of a curve are one ridge.
        draws, diagnostics = compiled.sample(config.longer(3), seed + 1)
    return to_response(draws, data), diagnostics


def to_response(draws: Mapping[str, FloatArray], data: ResponseData) -> ResponsePosterior:
    """Draws of `response_model` by name as curves."""
    names = ("log_base", "log_queueing", "log_factor")
    near = data.near()
    base, queueing, factor = (near[name] + draws[f"{name}_offset"] for name in names)
    return ResponsePosterior(
        np.exp(base),
        np.exp(queueing),
        data.prior_load[None, :] * np.exp(factor),
        draws["sharpness"],
        draws["noise"],
        data.gpu_type,
    )


def fit_misses(
    data: MissData, config: SamplerConfig, seed: int
) -> tuple[MissPosterior, Diagnostics]:
    """Sample the responses. Whether they may be used is for the diagnostics to say."""
    return MissFits().fit(data, config, seed)


@dataclass(frozen=True, slots=True)
class MissFits:
    """Fits of responses one after the other, of which alike ones share a compiled model.

    To compile one takes as long as to sample a few workloads. It serves as many workloads, groups,
    further loads and variants as it was compiled for, and any number of steps. The last few are
    kept.
    """

    _models: dict[tuple[int, ...], CompiledModel] = field(default_factory=dict)

    def fit(
        self, data: MissData, config: SamplerConfig, seed: int
    ) -> tuple[MissPosterior, Diagnostics]:
        """Sample the responses; chains that have not mixed a second time, twice as long.

        Whether they may be used then is for the diagnostics to say.
        """
        shape = (data.group.size, data.n_groups, data.n_further, data.n_variants)
        model = self._models.pop(shape, None)
        if model is None:
            model = CompiledModel.of(miss_model(data), MISS_START, MISS_AIDS)
        self._models[shape] = model
        if len(self._models) > N_MODELS:
            del self._models[next(iter(self._models))]
        draws, diagnostics = model.sample(config, seed, miss_inputs(data))
        if diagnostics.fault():
            # With some seeds a chain stays on the ridge of slope and curable part for too long.
            draws, diagnostics = model.sample(config.longer(2), seed + 1, miss_inputs(data))
        return to_misses(draws, data), diagnostics


def to_misses(draws: Mapping[str, FloatArray], data: MissData) -> MissPosterior:
    """Draws of `miss_model` by name as responses."""
    location = np.stack([draws[f"{name}_group"] for name in ("knee", "log_slope")], axis=1)
    spread = np.stack([draws[f"{name}_spread"] for name in ("knee", "log_slope")], axis=1)
    names = ("knee", "log_slope", "logit_floor", "log_concentration")
    coordinates = np.stack([draws[name] for name in names], axis=1)
    if data.n_further:
        # Of each draw (G, F) and (W, F), which come last here.
        location = np.concatenate([location, draws["log_ratio_group"].swapaxes(1, 2)], axis=1)
        spread = np.concatenate([spread, draws["log_ratio_spread"]], axis=1)
        ratio = draws["log_ratio"].swapaxes(1, 2)
        coordinates = np.concatenate([coordinates, draws["log_excess"][:, None], ratio], axis=1)
    if data.n_variants:
        worth = draws["log_worth"].swapaxes(1, 2)
        coordinates = np.concatenate([coordinates, worth], axis=1)
    pooled = PooledDraws(location, spread)
    stated = (data.prior_capacity, data.prior_share)
    return MissPosterior(coordinates, *stated, pooled, data.further_capacity)


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A model that was compiled once and may be sampled with other data of the same shapes.

    Attributes:
        compiled: nutpie's form of it.
        parameters: Names of its free parameters and of what is derived from them.
    """

    compiled: Any
    parameters: tuple[str, ...]

    @classmethod
    def of(
        cls,
        model: pm.Model,
        start: Mapping[str, float] | None = None,
        aids: Collection[str] = (),
    ) -> CompiledModel:
        """Compile a model.

        Args:
            model: The model.
            start: Where all chains start, by parameter; the others start around their priors.
            aids: Parameters that only help to sample: what is derived of them is kept instead.
        """
        given = start or {}
        free = {v for v in model.free_RVs if str(v.name) not in given}
        shapes = {str(v.name): tuple(v.shape.eval()) for v in model.free_RVs}
        points = {name: np.full(shapes[name], value) for name, value in given.items()}
        compiled = nutpie.compile_pymc_model(model, initial_points=points, jitter_rvs=free)
        names = (str(v.name) for v in model.free_RVs + model.deterministics)
        return cls(compiled, tuple(name for name in names if name not in aids))

    def sample(
        self,
        config: SamplerConfig,
        seed: int,
        data: Mapping[str, FloatArray | IntArray] | None = None,
    ) -> tuple[dict[str, FloatArray], Diagnostics]:
        """Draws by parameter, chains end to end, and whether they have mixed."""
        trace = nutpie.sample(
            self.compiled.with_data(**data) if data else self.compiled,
            tune=config.n_tune,
            draws=config.n_draws,
            chains=config.n_chains,
            cores=1,
            target_accept=config.target_accept,
            low_rank_modified_mass_matrix=config.is_low_rank,
            seed=seed,
            progress_bar=False,
        )
        posterior = trace.posterior
        chains = {n: np.asarray(posterior[n], dtype=np.float64) for n in self.parameters}
        n_divergent = int(np.asarray(trace.sample_stats["diverging"]).sum())
        flat = {name: c.reshape(-1, *c.shape[2:]) for name, c in chains.items()}
        return flat, diagnose(chains, n_divergent)


def diagnose(chains: dict[str, FloatArray], n_divergent: int) -> Diagnostics:
    """Split R-hat and effective sample size over all parameters.

    A parameter for which one of them is not defined makes it NaN, which is a fault.

    Args:
        chains: (chains, draws, ...) per parameter.
        n_divergent: Divergent transitions.
    """
    posterior = az.convert_to_dataset(chains)
    with np.errstate(invalid="ignore"):  # a parameter that never moves
        r_hats = az.rhat(posterior, method="split").to_array()
        sizes = az.ess(posterior, method="mean").to_array()
    n_draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    return Diagnostics(
        float(r_hats.max(skipna=False)), float(sizes.min(skipna=False)), n_divergent, n_draws
    )
