"""What held-out steps teach a new model: the demand as ever, and each further load by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from forecaster import BestSimple, ForecasterConfig, Ladder, Series, WindowConfig
from services.forecasting.online.further import FURTHER
from services.forecasting.online.learn import HEDGE
from services.forecasting.online.warm_start import warm_states

STEP_S = 600
WINDOW = WindowConfig(context=48, horizon=4, recent=24, season_past=6, season_lags_s=(2 * STEP_S,))
CONFIG = ForecasterConfig(WINDOW)
LADDER = Ladder(None, BestSimple({}, WINDOW))
N_STEPS, N_HELD = 260, 80
DEMAND, TOKENS, KV = "load_rps", "output_tokens_per_s", "kv_token_seconds"


def series(name: str, seed: int, further: tuple[int, ...] = (1, 2), jump: float = 1.0) -> Series:
    """A noisy demand, with loads of half and a hundredth; tokens rise by `jump` when held out."""
    rng = np.random.default_rng(seed)
    demand = rng.gamma(20, 5, N_STEPS)
    values = np.stack([demand, 0.5 * demand, 0.01 * demand], axis=1)
    values[-N_HELD:, 1] *= jump ** np.arange(N_HELD)
    seen = np.ones(values.shape, dtype=bool)
    names = (DEMAND, TOKENS, KV)
    return Series(
        name, values.astype(np.float32), seen, names, (1, 1, 2), 0, 0, STEP_S, further=further
    )


def states(*fleet: Series) -> dict[str, dict[str, Any]]:
    return warm_states(fleet, LADDER, CONFIG, N_HELD, np.random.default_rng(1))


def test_every_load_has_a_calibration_of_its_own() -> None:
    found = states(series("shop/a", 1), series("shop/b", 2, further=(2,)), series("shop/c", 3, ()))
    assert set(found["shop/a"][FURTHER]) == {TOKENS, KV}
    assert set(found["shop/b"][FURTHER]) == {KV}
    assert FURTHER not in found["shop/c"]
    assert all(HEDGE in state for state in found.values())
    n_seen = found["shop/a"]["n_seen"]
    assert n_seen > 0
    assert [one["n_seen"] for one in found["shop/a"][FURTHER].values()] == [n_seen, n_seen]


def test_the_demand_learns_what_it_learned_without_further_loads() -> None:
    fleet = (series("shop/a", 1), series("shop/b", 2))
    found = states(*fleet)
    alone = states(*(replace(one, further=()) for one in fleet))
    for state in found.values():
        del state[FURTHER]
    assert found == alone


def test_a_load_that_keeps_rising_past_its_forecasts_is_raised() -> None:
    state = states(series("shop/a", 1, jump=1.02))["shop/a"][FURTHER]
    levels = np.array(state[TOKENS]["levels"])
    upper = int(np.argmin(np.abs(levels - 0.95)))
    rising, steady = (np.array(state[name]["offsets"])[upper].min() for name in (TOKENS, KV))
    assert rising > max(steady, 0)


def test_a_load_that_was_never_seen_teaches_nothing() -> None:
    silent = series("shop/a", 1)
    seen = silent.observed.copy()
    seen[:, 1] = False
    found = states(replace(silent, observed=seen), series("shop/b", 2))
    assert FURTHER not in found["shop/a"]
    assert found["shop/a"]["n_seen"] > 0
    assert set(found["shop/b"][FURTHER]) == {TOKENS, KV}


def test_too_short_a_history_has_no_state() -> None:
    short = series("shop/a", 1).head(40)
    assert warm_states([short], LADDER, CONFIG, 0, np.random.default_rng(1)) == {}


@pytest.mark.parametrize("n_held", [8, 80])
def test_more_held_out_steps_teach_more(n_held: int) -> None:
    found = warm_states([series("shop/a", 1)], LADDER, CONFIG, n_held, np.random.default_rng(1))
    assert found["shop/a"]["n_seen"] == found["shop/a"][FURTHER][KV]["n_seen"]
    assert found["shop/a"]["n_seen"] <= n_held * WINDOW.horizon
