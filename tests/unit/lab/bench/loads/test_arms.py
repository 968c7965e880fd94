"""Every arm leaves out one thing."""

from __future__ import annotations

from services.lab.bench.loads.arms import FULL, TOLD, load_arms

ARMS = load_arms(("requests", "input", "output"))


def test_each_arm_changes_one_thing() -> None:
    full = ARMS[FULL]
    for arm in ARMS.values():
        traits = ("columns", "paths", "posterior", "has_levels")
        n_changed = sum(getattr(arm, name) != getattr(full, name) for name in traits)
        assert n_changed == (arm.name != FULL)
        assert arm.about


def test_every_load_stands_alone_once() -> None:
    single = {name: arm for name, arm in ARMS.items() if name.startswith("only_")}
    assert {arm.columns for arm in single.values()} == {(0,), (1,), (2,)}


def test_arms_share_a_forecaster_where_they_may() -> None:
    own = {name: arm.forecaster for name, arm in ARMS.items()}
    assert own["no_levels"] == "no_levels"
    assert (own["only_input"], own["only_output"]) == ("load1", "load2")
    rest = set(ARMS) - {"no_levels", "only_input", "only_output"}
    assert {own[name] for name in rest} == {"joint"}
    assert ARMS[TOLD].posterior == "told"
