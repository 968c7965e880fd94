from __future__ import annotations

from services.lab.bench.decide.noise import PROMISES, NoiseCase, bench_noise


def test_the_quantile_function_leaves_no_noise() -> None:
    rows = bench_noise(NoiseCase(50.0, 0.3, 0.05, 60, 8), seed=7)
    assert [row["promise"] for row in rows] == list(PROMISES)
    for row in rows:
        assert row["quantiles_sd_over_mean"] == 0.0
        assert row["paths_sd_over_mean"] > 0.0
        assert row["paths_mean"] > 50.0
