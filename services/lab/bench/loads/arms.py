"""What is left out of Harmony in turn, by the name that tables know it under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

FULL, TOLD = "full", "told"


@dataclass(frozen=True, slots=True)
class LoadArm:
    """One arm.

    Attributes:
        name: Name in tables.
        about: What is left out, or given on top.
        columns: The loads that are named, of those of the task; the first is the demand.
        paths: What is done to the joint paths: nothing, every step and load permuted on its own,
            every load permuted as a whole, or every load ranked as the demand.
        posterior: What decides: all draws of what was learned, its mean, or the truth.
        has_levels: Whether the forecaster reads indicators by their level.
    """

    name: str
    about: str
    columns: tuple[int, ...]
    paths: Literal["joint", "steps", "loads", "ranked"] = "joint"
    posterior: Literal["learned", "mean", "told"] = "learned"
    has_levels: bool = True

    @property
    def forecaster(self) -> str:
        """Which forecaster answers: arms with the same one share its forecasts."""
        if len(self.columns) == 1 and self.columns[0] > 0:
            return f"load{self.columns[0]}"
        return "joint" if self.has_levels else "no_levels"


def load_arms(names: Sequence[str]) -> dict[str, LoadArm]:
    """Every arm of a benchmark with these loads."""
    every = tuple(range(len(names)))
    found = [
        LoadArm(FULL, "nothing", every),
        LoadArm("steps_permuted", "the joint law of steps and loads", every, paths="steps"),
        LoadArm("loads_permuted", "the joint law of loads", every, paths="loads"),
        LoadArm("loads_ranked_alike", "the joint law of loads, ranks equal", every, paths="ranked"),
        LoadArm("posterior_mean", "the spread of the posterior", every, posterior="mean"),
        LoadArm("no_levels", "levels, trained again", every, has_levels=False),
        *(LoadArm(f"only_{name}", f"all loads but {name}", (g,)) for g, name in enumerate(names)),
        LoadArm(TOLD, "nothing; it is told the true response", every, posterior="told"),
    ]
    return {arm.name: arm for arm in found}
