"""One protocol for what is learned between fits: calibration, the hedge, the test for drift.

A learner is a frozen value that holds its settings. What was learned is a state, passed in and out:
`observe` returns the state after an outcome, `apply` gives what follows from a state for forecasts
of the same workloads. States are stored as one JSON object per workload.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from forecaster.errors import ShapeError
from forecaster.types import F32, I64, Bool, Forecast


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Demand after the origins of B forecasts.

    Args:
        actual: `(B, H)` raw demand, read where it was observed only.
        observed: `(B, H)`; unobserved steps teach nothing.
    """

    actual: F32
    observed: Bool

    def __post_init__(self) -> None:
        """Check shapes."""
        if self.actual.shape != self.observed.shape:
            raise ShapeError(
                f"actual {self.actual.shape} and observed {self.observed.shape} must both be (B, H)"
            )

    def rows(self, at: I64) -> Outcome:
        """The rows `at`, in that order."""
        return Outcome(self.actual[at], self.observed[at])


@dataclass(frozen=True, slots=True, eq=False)
class LearnerState:
    """Knowledge of W workloads; every array of a subclass has one row for each.

    Args:
        workloads: W names.
    """

    workloads: tuple[str, ...]

    SHARED: ClassVar[tuple[str, ...]] = ()
    """Fields that are the same for all workloads."""
    N_DIGITS: ClassVar[Mapping[str, int]] = {}
    """Decimals that a field is stored with; all of them where it is not named."""

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays with one row per workload, by name."""
        skipped = ("workloads", *self.SHARED)
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in skipped}

    def rows(self, at: I64) -> Self:
        """A copy of the workloads `at`."""
        names = tuple(self.workloads[i] for i in at)
        parts: dict[str, Any] = {name: array[at] for name, array in self.arrays().items()}
        return replace(self, workloads=names, **parts)

    def with_rows(self, at: I64, part: Self) -> Self:
        """The state with `part` in place of the workloads `at`."""
        changed: dict[str, Any] = {name: array.copy() for name, array in self.arrays().items()}
        for name, array in part.arrays().items():
            changed[name][at] = array
        return replace(self, **changed)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One JSON-able object per workload."""
        arrays = self.arrays()
        for name, n_digits in self.N_DIGITS.items():
            arrays[name] = arrays[name].round(n_digits)
        shared = {name: getattr(self, name).tolist() for name in self.SHARED}
        return [
            shared | {name: array[i].tolist() for name, array in arrays.items()}
            for i in range(len(self.workloads))
        ]

    def with_stored(self, stored: Mapping[str, Mapping[str, Any]]) -> Self:
        """The state with what is stored; a workload whose object is no such state stays as it is.

        That is one with other shapes, with words for numbers, or with numbers that are not finite.

        Args:
            stored: Workload to its object of `to_dicts`; fields may be missing.
        """
        arrays: dict[str, Any] = {name: array.copy() for name, array in self.arrays().items()}
        for i, workload in enumerate(self.workloads):
            for name, value in _numbers(stored.get(workload, {}), arrays).items():
                arrays[name][i] = value
        return replace(self, **arrays)

    def check_workloads(self, forecast: Forecast) -> None:
        """Refuse a forecast of other workloads.

        Raises:
            ShapeError: If the workloads or their order differ.
        """
        if forecast.workloads != self.workloads:
            raise ShapeError("state and forecast must have the same workloads in order")


def _numbers(given: object, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The fields of a stored object by name; none where any of them does not fit."""
    if not isinstance(given, Mapping):
        return {}
    wanted = {name: value for name, value in given.items() if name in arrays}
    try:
        found = {n: np.asarray(v, dtype=arrays[n].dtype) for n, v in wanted.items()}
    except (TypeError, ValueError, OverflowError):
        return {}
    is_fit = all(
        value.shape == arrays[name].shape[1:] and bool(np.isfinite(value).all())
        for name, value in found.items()
    )
    return found if is_fit else {}


StateT = TypeVar("StateT", bound=LearnerState)
GivenT = TypeVar("GivenT", contravariant=True)
AnswerT = TypeVar("AnswerT", covariant=True)


class Learner(Protocol[StateT, GivenT, AnswerT]):
    """Learning from outcomes while a model serves.

    `GivenT` is a forecast, or what goes with one; `AnswerT` is a better forecast, or a verdict on
    each workload.
    """

    def empty_state(self, workloads: Sequence[str]) -> StateT:
        """The state before any outcome."""
        ...

    def observe(self, state: StateT, given: GivenT, outcome: Outcome) -> StateT:
        """The state after the outcome of one origin.

        Raises:
            ShapeError: If the state is of other workloads.
        """
        ...

    def apply(self, state: StateT, given: GivenT) -> AnswerT:
        """The answer that follows from a state.

        Raises:
            ShapeError: If the state is of other workloads.
        """
        ...

    def from_dicts(
        self, workloads: Sequence[str], stored: Mapping[str, Mapping[str, Any]]
    ) -> StateT:
        """The state of `workloads` from its stored form; one that is not stored starts empty."""
        ...
