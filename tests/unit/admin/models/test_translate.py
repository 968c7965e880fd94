"""Draws of a belief are read as they are stored, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy import RowMapping

from decider.miss_draws import MissDraws
from services.admin.models.schemas import PosteriorDetail
from services.admin.models.translate import to_posterior_detail

N = 400
"""Divisible by many numbers of columns, so that a wrong one fits too."""


def detail(draws: MissDraws, learned_for: dict[str, Any] | None) -> PosteriorDetail:
    row = {
        "id": 1,
        "kind": "misses",
        "scope": "workload:1",
        "namespace": "prod",
        "name": "llama",
        "status": "promoted",
        "reason": "",
        "n_observations": 9,
        "summary": {} if learned_for is None else {"learned_for": learned_for},
        "diagnostics": {},
        "fitted_at": datetime(2026, 1, 5, tzinfo=UTC),
        "draws": draws.to_array().astype("<f4").tobytes(),
    }
    return to_posterior_detail(cast("RowMapping", row))


def response(**further: Any) -> MissDraws:
    columns = (np.full(N, value) for value in (900.0, 8.0, 0.01, 50.0))
    return MissDraws(*columns, **further)


@pytest.mark.parametrize("n_variants", [1, 2, 4])
def test_what_variants_are_worth_is_no_draw_of_the_load(n_variants: int) -> None:
    worth = np.full((N, n_variants), 1.5)
    ratios = [1.0] * (1 + n_variants)
    found = detail(response(worth=worth), {"per_replica": 1000.0, "variant_ratios": ratios})
    assert found.n_draws == N
    assert found.quantities[4:] == [
        f"variant_{place}_over_stated_ratio" for place in range(2, n_variants + 2)
    ]
    assert found.quantiles["0.5"] == [900.0, 8.0, 0.01, 50.0, *[1.5] * n_variants]


def test_with_several_loads_and_variants_each_column_has_its_name() -> None:
    draws = response(
        sharing=np.full(N, 2.0), further=np.full((N, 1), 70.0), worth=np.full((N, 1), 1.5)
    )
    found = detail(draws, {"further": ["kv_tokens"], "variant_ratios": [1.0, 0.5]})
    assert found.quantities[4:] == [
        *("sharing_exponent", "half_missed_kv_tokens"),
        "variant_2_over_stated_ratio",
    ]
    assert found.quantiles["0.5"] == [900.0, 8.0, 0.01, 50.0, 2.0, 70.0, 1.5]


def test_what_does_not_say_what_it_is_of_shows_no_quantiles() -> None:
    found = detail(response(worth=np.full((N, 1), 1.5)), None)
    assert (found.n_draws, found.quantiles, found.quantities) == (None, {}, [])
