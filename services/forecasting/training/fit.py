"""Train a model on what Postgres holds, and promote it only when a back-test says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError

from forecaster import (
    STAGES,
    CheckpointError,
    FitProgress,
    FitResult,
    ForecasterConfig,
    ForecasterError,
    Series,
    fit,
    model_to_bytes,
)
from services.forecasting.forecast.service import Forecasting
from services.forecasting.online.warm_start import warm_states
from services.forecasting.registry import repository as registry
from services.forecasting.registry.repository import NewModel, RegisteredModel
from services.forecasting.rows import repository
from services.forecasting.rows.translate import WorkloadRow, forecaster_config, json_safe
from services.forecasting.training.attempt import (
    MAX_ATTEMPTS,
    Attempt,
    begin_attempt,
    forgive_attempt,
    save_epoch,
)
from services.forecasting.training.device import AUTO, choose_device
from services.forecasting.training.histories import held_out_steps, load_fleet, load_histories
from services.forecasting.training.memory import release_memory
from services.forecasting.training.verdict import TRAINED_UNTIL, Incumbent, judge_fit
from services.kernel import telemetry
from services.kernel.clock import SystemClock, make_rng
from services.kernel.db.session import UnitOfWork, unit_of_work
from services.kernel.errors import Conflict, NotFound
from services.kernel.operation import OperationStopped
from services.kernel.security.audit import AuditEntry, append_audit
from services.kernel.telemetry import get_logger

BUSY = "busy"
_SHARES = dict(zip(STAGES, ((0.1, 0.5), (0.5, 0.6), (0.6, 0.7), (0.7, 0.9)), strict=True))
"""Share of a fit that is done before and after each of its stages."""


@dataclass(frozen=True, slots=True)
class FitOutcome:
    """Result of one fit: the registry row's version, status and reason.

    The status is that of the row, or `busy`, without a version, where another fit was running.
    """

    version: str
    status: str
    reason: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Contents of a registry row: verdict, checkpoint and the calibration to start with.

    Attributes:
        workloads: The fleet as it was when its histories were read: what was learned is of the
            demands of then.
        serving: Version of the model that served when the fit began; None: there was none.
    """

    outcome: FitOutcome
    artifact: bytes | None = None
    calibration: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    workloads: Sequence[WorkloadRow] = ()
    serving: str | None = None


Progress = Callable[[str, float], None]
"""Called with a line of text and the share done, 0..1."""


def fit_models(
    app: Forecasting,
    on_progress: Progress | None = None,
    *,
    is_fresh: bool = False,
    device: str = AUTO,
) -> FitOutcome:
    """Train on all active workloads, back-test on held-out steps, register, promote if better.

    A fit that cannot be made (too little history, divergence, any defect) is registered as failed
    with its reason, and whatever served before goes on serving. Only one fit runs at a time. One
    whose process died, or lost the database, goes on from its last epoch when this is called again.
    Where another model was let serve meanwhile, as by a roll-back, that one stays.

    Args:
        app: The service.
        on_progress: See `Progress`.
        is_fresh: Begin anew even if there is an unfinished fit.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        InvalidInput: The device does not exist.
    """
    chosen = choose_device(device)
    with registry.fit_lock(app.engine) as is_mine:
        if not is_mine:
            reason = "another fit is running on this database; its model serves this one too"
            return FitOutcome("", BUSY, reason, {})
        config = forecaster_config(app.settings)
        attempt = begin_attempt(app, config, is_fresh=is_fresh)
        run = _Run(app, config, attempt, on_progress or (lambda _text, _share: None), chosen)
        try:
            outcome = _register(app, _fitted_or_failed(run), config)
        except (KeyboardInterrupt, SystemExit, OperationStopped):
            forgive_attempt(app, attempt)
            raise
    release_memory()
    telemetry.model_promotions_total.labels(outcome.status).inc()
    run.tell(f"{outcome.version}: {outcome.status}, {outcome.reason}", 1.0)
    return outcome


def _fitted_or_failed(run: _Run) -> _Fitted:
    """A fit that ends by a defect is a failed one, which is tried again; see `is_fit_due`."""
    try:
        return run.fitted()
    except (OperationStopped, OperationalError, InterfaceError):
        raise  # it was stopped, or the database is away: what it has reached stays
    except Exception as error:  # noqa: BLE001 - any defect is said, and tried again
        get_logger(__name__).exception("fit_failed")
        return run.failed(f"{type(error).__name__}: {error}")


def progress_of(line: FitProgress) -> tuple[str, float]:
    """A line of text for an epoch, and the share of the whole fit that is done."""
    begin, end = _SHARES[line.stage]
    share = begin + (end - begin) * line.epoch / line.n_epochs
    losses = f"train {line.train_loss:.4f}, validation {line.validation_loss:.4f}"
    return f"{line.stage} {line.epoch}/{line.n_epochs}: {losses}", share


class _Run:
    """One attempt at a fit, from histories to a verdict."""

    def __init__(
        self,
        app: Forecasting,
        config: ForecasterConfig,
        attempt: Attempt,
        tell: Progress,
        device: str,
    ) -> None:
        self.app, self.config, self.attempt = app, config, attempt
        self.tell, self.device = tell, device
        self.started = time.monotonic()
        self.line: FitProgress | None = None

    def fitted(self) -> _Fitted:
        """Train and judge; a fit that cannot be made is a failed one with its reason."""
        attempt = self.attempt
        if attempt.is_last:
            return self.failed(
                f"given up: the fit was cut short {MAX_ATTEMPTS} times, the last time after "
                f"reaching {attempt.reached}; where its worker was killed (the log says nothing "
                "then), it may need more memory"
            )
        with self.app.engine.connect() as connection:
            fleet = load_fleet(connection)
            series = load_histories(self.app, connection, fleet, attempt.at, self.config)
            serving, incumbent = _incumbent(self.app, connection)
        self.tell(f"{len(series)} histories loaded", 0.05)
        n_held = held_out_steps(series, self.config)
        try:
            result = self._trained([s.head(s.n_steps - n_held) for s in series])
            fitted = self._judged(series, result, incumbent, n_held)
            return replace(fitted, workloads=fleet, serving=serving)
        except ForecasterError as error:
            return self.failed(f"{type(error).__name__}: {error}")

    def _trained(self, series: Sequence[Series]) -> FitResult:
        """Go on from the attempt's state, or start over where it is of other histories."""
        if self.attempt.state is not None:
            self.tell(f"going on after {self.attempt.reached}", 0.1)
            try:
                return self._fit(series, self.attempt.state)
            except CheckpointError as error:
                get_logger(__name__).warning("fit_not_resumed", reason=str(error))
        return self._fit(series, None)

    def _fit(self, series: Sequence[Series], state: bytes | None) -> FitResult:
        return fit(
            series,
            self.config,
            self.app.settings.seed,
            prior=self.app.store.prior,
            on_progress=self._report,
            resume=state,
            on_checkpoint=self._save,
            device=self.device,
        )

    def _spent_s(self) -> float:
        return self.attempt.spent_s + time.monotonic() - self.started

    def _report(self, line: FitProgress) -> bool:
        """Pass progress on; false once the time budget of a fit is spent."""
        self.line = line
        self.tell(*progress_of(line))
        return self._spent_s() < self.app.settings.fit_budget_s

    def _save(self, state: bytes) -> None:
        assert self.line is not None  # an epoch is reported before its state is
        save_epoch(self.app, self.attempt, self.line, state, self._spent_s())

    def _judged(
        self,
        series: Sequence[Series],
        result: FitResult,
        incumbent: Incumbent | None,
        n_held: int,
    ) -> _Fitted:
        """Verdict on the fitted model, and the calibration that it starts with."""
        settings, version = self.app.settings, result.model.version
        self.tell("back-test", 0.9)
        prior = self.app.store.prior
        verdict = judge_fit(series, result, incumbent, n_held, settings.seed, prior)
        self.tell("calibration", 0.95)
        ladder = replace(verdict.ladder, stale_after_steps=settings.stale_after_steps)
        rng = make_rng(settings.seed, "calibration", version)
        states = warm_states(series, ladder, self.config, n_held, rng)
        metrics = json_safe({**verdict.metrics, **self._facts(), "device": self.device})
        status = registry.PROMOTED if verdict.is_better else registry.SHADOW
        outcome = FitOutcome(version, status, verdict.reason, metrics)
        return _Fitted(outcome, model_to_bytes(result.model), states)

    def _facts(self) -> dict[str, Any]:
        return {"fit_s": round(self._spent_s(), 1), "n_attempts": self.attempt.number}

    def failed(self, reason: str) -> _Fitted:
        """A failed fit."""
        stamp = self.app.clock.now().strftime("%Y%m%dT%H%M%S%f")
        outcome = FitOutcome(f"failed-{stamp}", registry.FAILED, reason, self._facts())
        return _Fitted(outcome)


def _incumbent(app: Forecasting, connection: Connection) -> tuple[str | None, Incumbent | None]:
    """Version of the model that serves, and where it can be read the model itself."""
    model, row = app.store.current(connection).ladder.model, registry.load_promoted(connection)
    if row is None:
        return None, None
    if model is None:
        return row.version, None
    until_s = row.metrics.get(TRAINED_UNTIL)
    known_s = int(until_s) if isinstance(until_s, int | float) else None
    return row.version, Incumbent(model, known_s)


def _register(app: Forecasting, fitted: _Fitted, config: ForecasterConfig) -> FitOutcome:
    """Put the model, or the failure, in the place of the unfinished fit; returns what became so."""
    with unit_of_work(app.engine) as work:
        registry.lock_registry(work.connection)
        at = app.now(work.connection)
        outcome = _beside_what_serves(work.connection, fitted)
        registry.delete_training(work.connection)
        model_id = registry.insert_model(work.connection, _new_model(fitted, outcome, config), at)
        if model_id is None:
            return _as_registered(work.connection, outcome)
        found = {w.key: w for w in fitted.workloads}
        states = {found[key].id: one for key, one in fitted.calibration.items() if key in found}
        specs = {w.id: w.spec for w in found.values()}
        repository.save_calibration(work.connection, outcome.version, states, specs, at)
        if outcome.status == registry.PROMOTED:
            registry.set_promoted(work.connection, model_id, outcome.reason, at)
    return outcome


def _beside_what_serves(connection: Connection, fitted: _Fitted) -> FitOutcome:
    """The outcome; a model is not promoted over one that it was not compared with."""
    outcome, row = fitted.outcome, registry.load_promoted(connection)
    serving = None if row is None else row.version
    if outcome.status != registry.PROMOTED or serving == fitted.serving:
        return outcome
    what = "none serves" if serving is None else f"{serving} serves"
    before = "none" if fitted.serving is None else fitted.serving
    reason = (
        f"{outcome.reason}; not promoted: while it was trained what serves was changed by hand, "
        f"{what} now where {before} did, and it was not compared with that"
    )
    return replace(outcome, status=registry.SHADOW, reason=reason)


def _as_registered(connection: Connection, outcome: FitOutcome) -> FitOutcome:
    """The same fit was registered before: what became of that is so still."""
    row = registry.load_by_version(connection, outcome.version)
    if row is None:
        return outcome
    return replace(outcome, status=row.status, reason=f"{row.reason} (this very model was there)")


def _new_model(fitted: _Fitted, outcome: FitOutcome, config: ForecasterConfig) -> NewModel:
    """The row that is inserted; a model is promoted in a step of its own."""
    return NewModel(
        outcome.version,
        registry.SHADOW if outcome.status == registry.PROMOTED else outcome.status,
        outcome.reason,
        config.to_dict(),
        dict(outcome.metrics),
        fitted.artifact,
    )


def promote(app: Forecasting, version: str, reason: str, actor: str = "") -> None:
    """Make a stored model serve, whatever its back-test said (an operator's choice).

    Args:
        app: The service.
        version: The model.
        reason: Why; kept in the registry.
        actor: Who asks, for the audit log; empty: nobody does.

    Raises:
        NotFound: No model has this version.
        Conflict: It already serves, failed, or is still being trained.
    """
    with unit_of_work(app.engine) as work:
        registry.lock_registry(work.connection)
        row = registry.load_by_version(work.connection, version)
        if row is None:
            raise NotFound(f"model version={version!r} does not exist")
        if row.status in (registry.PROMOTED, registry.FAILED, registry.TRAINING):
            raise Conflict(f"model {version!r} is {row.status}; a shadow or retired one is right")
        _serve(app, work, row, _Ask(reason, actor, "model.promote"))


def roll_back(app: Forecasting, reason: str, actor: str = "") -> str:
    """Make the model before the present one serve again; returns its version.

    Args:
        app: The service.
        reason: Why; kept in the registry.
        actor: Who asks, for the audit log; empty: nobody does.

    Raises:
        NotFound: No model served before.
    """
    with unit_of_work(app.engine) as work:
        registry.lock_registry(work.connection)
        row = registry.load_last_retired(work.connection)
        if row is None:
            raise NotFound("no model served before the present one; nothing to roll back to")
        _serve(app, work, row, _Ask(f"rolled back: {reason}", actor, "model.roll_back"))
        return row.version


@dataclass(frozen=True, slots=True)
class _Ask:
    """Why a model is to serve, who asks, and what the audit log calls it."""

    reason: str
    actor: str
    action: str


def _serve(app: Forecasting, work: UnitOfWork, row: RegisteredModel, ask: _Ask) -> None:
    """Let a model serve, with its audit entry where somebody asks."""
    serving = registry.load_promoted(work.connection)
    registry.set_promoted(work.connection, row.id, ask.reason, app.now(work.connection))
    if not ask.actor:
        return
    before = {"status": row.status, "serving": serving and serving.version}
    after = {"status": registry.PROMOTED, "serving": row.version, "reason": ask.reason}
    at, name = SystemClock().now(), f"model/{row.version}"
    append_audit(work.connection, AuditEntry(at, ask.actor, ask.action, name, before, after))
