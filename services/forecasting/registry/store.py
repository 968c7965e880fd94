"""The ladder that serves: the promoted model, the prior, the simple picks; kept by the worker."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from forecaster import (
    PRIOR_RUNG,
    BestSimple,
    ForecasterConfig,
    Ladder,
    TrainedModel,
    model_from_bytes,
)
from services.forecasting.registry import repository as registry
from services.kernel import telemetry

SIMPLE_VERSION = "best-simple"
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Serving:
    """The ladder that answers now, with its version.

    Attributes:
        version: Stored with each forecast; the promoted model's, else `prior-` and the prior's, or
            `best-simple` where there is none.
        config: Window configuration to load contexts with.
        ladder: The predictors.
    """

    version: str
    config: ForecasterConfig
    ladder: Ladder


class ModelStore:
    """Loads what serves and keeps it until the registry names something else."""

    def __init__(
        self,
        config: ForecasterConfig,
        stale_after_steps: int,
        prior: TrainedModel | None = None,
    ) -> None:
        """Start empty.

        Args:
            config: Configuration while no model is promoted.
            stale_after_steps: Steps without demand after which input is stale.
            prior: Answers where no model does; None, or one with other windows: none does.
        """
        self._config = config
        self.prior = prior if prior is not None and prior.config.window == config.window else None
        self._stale_after_steps = stale_after_steps
        self._key: tuple[int, int] = (-1, -1)
        self._serving: Serving | None = None

    def current(self, connection: Connection) -> Serving:
        """Load what serves now; one small query when nothing has changed.

        A promoted model that cannot be read is none: the prior answers, or for workloads where a
        simple pick was better, and for all without a prior, that pick. Each forecast, the log and a
        metric say why.
        """
        if self._serving is None or registry.load_serving_ids(connection) != self._key:
            promoted = registry.load_promoted(connection)
            newest = promoted or registry.load_newest(connection)
            self._serving = self._load(connection, promoted, newest)
            self._key = (promoted.id if promoted else 0, newest.id if newest else 0)
        return self._serving

    def _load(
        self,
        connection: Connection,
        promoted: registry.RegisteredModel | None,
        newest: registry.RegisteredModel | None,
    ) -> Serving:
        metrics = newest.metrics if newest else {}
        picks = dict(metrics.get("picks", {}))
        ladder = Ladder(
            None,
            BestSimple(picks, self._config.window),
            stale_after_steps=self._stale_after_steps,
            prior=self.prior,
            simple_only=frozenset(metrics.get("simple_only", ())),
        )
        telemetry.model_unreadable.set(0)
        version = SIMPLE_VERSION if self.prior is None else f"{PRIOR_RUNG}-{self.prior.version}"
        if promoted is None:
            return Serving(version, self._config, ladder)
        artifact = registry.load_artifact(connection, promoted.id)
        try:
            model = model_from_bytes(artifact)
        except Exception as error:  # noqa: BLE001 - bytes that are no model may raise anything
            reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
            telemetry.model_unreadable.set(1)
            telemetry.get_logger(__name__).error(
                "model_unreadable", version=promoted.version, reason=reason
            )
            why = f"the promoted model {promoted.version} cannot be read ({reason})"
            return Serving(version, self._config, replace(ladder, no_model=why))
        window = model.config.window
        prior = self.prior if window == self._config.window else None
        ladder = replace(ladder, model=model, simple=BestSimple(picks, window), prior=prior)
        return Serving(promoted.version, model.config, ladder)
