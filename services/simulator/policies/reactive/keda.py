"""KEDA: an HPA on an external metric with an average value per pod.

From one replica on it is read at each sync of the HPA; `pollingInterval` is of waking from zero.
Written from the HPA's description. The metric is the whole demand, so unready pods damp nothing:
`ceil(metric / target)`, with the tolerance tested on the metric per pod of the spec.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from services.simulator.policies.grid import FloatArray, GridView, Knob, count_settings
from services.simulator.policies.knobs import knob_value
from services.simulator.policies.reactive.hpa import (
    HpaConfig,
    HpaObservation,
    HpaState,
    behaved,
    observed,
    require_whole_percent,
)

_GUARD = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class KedaGrid:
    """KEDA scalers with G targets on W workloads.

    Attributes:
        target_percent: Target per pod in whole per cent of its capacity: the knob.
        config: Behaviour of the HPA that it drives.
        name: Name in tables.
    """

    target_percent: Knob
    config: HpaConfig = field(default_factory=HpaConfig)
    name: str = "keda"

    def __post_init__(self) -> None:
        """Check the knob."""
        require_whole_percent(self.target_percent)

    @property
    def n_settings(self) -> int:
        """G."""
        return count_settings(self.target_percent)

    def label(self, setting: int) -> str:
        """The target of one setting."""
        return f"target {knob_value(self.target_percent, setting):g} % a pod"

    def initial_state(self) -> HpaState:
        """No recommendation recorded yet."""
        return HpaState()

    def decide(self, view: GridView, state: HpaState) -> tuple[FloatArray, HpaState]:
        """One sync on the demand that is read with it."""
        seen = observed(view, self.target_percent)
        return behaved(self._proposal(seen), seen, self.config, state)

    def _proposal(self, seen: HpaObservation) -> FloatArray:
        """(G, W) raw proposals; NaN where the demand is unknown."""
        wanted = seen.load / (seen.target_percent / 100.0 * seen.capacity)
        ratio = wanted / np.maximum(seen.replicas, 1.0)
        within = np.abs(1.0 - ratio) <= self.config.tolerance + _GUARD
        proposal = np.where(within, seen.replicas, np.ceil(wanted - _GUARD))
        return np.where(np.isfinite(wanted), proposal, np.nan)
