"""The sampled model is the curve."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from decider.belief.response_model import (
    ResponseData,
)

quiet_pymc = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
)


@quiet_pymc
def test_the_sampled_model_is_the_curve() -> None:
    """PyTensor's likelihood and NumPy's curve are the same, beyond saturation too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from decider.belief.model import response_model
        from decider.belief.posterior import to_response

    rng = np.random.default_rng(3)
    workload, gpu_type = np.repeat([0, 1, 2], 5), np.array([0, 1, 1])
    stated = np.array([4.0, 8.0, 16.0])
    load = stated[workload] * rng.uniform(0.1, 2.0, 15)
    data = ResponseData(rng.uniform(100, 900, 15), load, workload, stated, gpu_type)
    model = response_model(data)
    point = model.initial_point()
    for name in ("log_base_offset", "log_queueing_offset", "log_factor_offset"):
        point[name] = 0.1 * rng.standard_normal(3)
    point["noise_log__"] = np.log([0.2, 0.3])
    logp = model.compile_logp(vars=[model["observed_log_latency"]], sum=False)(point)[0]
    named = {n.removesuffix("_log__"): v for n, v in point.items()}
    exp = {n.removesuffix("_log__"): np.exp(v) for n, v in point.items() if n.endswith("_log__")}
    draws = {n: np.asarray(v)[None] for n, v in (named | exp).items()}
    found = to_response(draws, data)
    for row in range(3):
        of = workload == row
        curve = found.curve(row)
        z = (np.log(data.latency_ms[of]) - curve.log_latency(load[of])[0]) / curve.noise[0]
        by_hand = -0.5 * z**2 - np.log(curve.noise[0]) - 0.5 * np.log(2 * np.pi)
        np.testing.assert_allclose(logp[of], by_hand, rtol=1e-9)
