"""Composition root of the operator: `python -m services.operator.main`."""

from __future__ import annotations

import asyncio
import sys

from services.kernel import telemetry
from services.kernel.clock import make_clock
from services.kernel.db.session import make_engine
from services.kernel.errors import ConfigurationError, HarmonyError
from services.kernel.settings import Settings, get_settings
from services.kernel.tracing_otel import configure_tracing
from services.operator.handlers import run
from services.operator.heap import bound_heap
from services.operator.kube.client import KubeClient
from services.operator.kube.mirrored import MirroredKube
from services.operator.leadership.process import Election, make_election, pod_namespace
from services.operator.reconcile.memory import OperatorDeps, Pace
from services.operator.wire.http import KubeHttp, RequestSettings, load_configuration

_REPORTS_S = 10.0
"""Reports of one pass; decisions are followed between two of them, so that they hold up none."""


def make_deps(settings: Settings) -> tuple[OperatorDeps, Election]:
    """Wire the operator.

    Raises:
        ConfigurationError: A setting is wrong, or no API server is configured.
    """
    configuration = load_configuration(settings.kube_url)
    election = make_election(settings, configuration, pod_namespace())
    fenced = RequestSettings(may_send=election.fence.is_open, cluster=settings.cluster)
    http = KubeHttp(configuration, request=fenced)
    if settings.clock == "system":
        kube: KubeClient = MirroredKube(
            http, KubeHttp(configuration, request=RequestSettings(cluster=settings.cluster))
        )
    else:  # a replay's time leaps, so a pass must read the API server and not a copy
        kube = KubeClient(http)
    deps = OperatorDeps(
        make_engine(settings.database_url, cluster=settings.cluster),
        kube,
        make_clock(settings.clock, settings.redis_url),
        settings,
        pace=Pace(budget_s=_REPORTS_S),
        may_write=election.fence.is_open,
    )
    return deps, election


def say_what_is_off(settings: Settings) -> None:
    """Log which optional writes the operator leaves out, once."""
    if not settings.operator_deletion_cost:
        effect = "a scaling in takes the pods that Kubernetes chooses"
        switch = "HARMONY_OPERATOR_DELETION_COST=true marks them; it needs `patch` on pods"
        telemetry.get_logger("operator").info("deletion_cost_off", effect=effect, switch=switch)


def main() -> int:
    """Run until stopped."""
    bound_heap()
    try:
        settings = get_settings()
        telemetry.configure_logging(settings.log_level, settings.log_format)
        configure_tracing(settings, "operator")
        deps, election = make_deps(settings)
    except HarmonyError as error:
        print(error.message, file=sys.stderr)
        return 2
    say_what_is_off(settings)
    telemetry.reconcile_duration_seconds.labels(settings.cluster)  # no pass yet is a count of 0
    telemetry.leader.labels(settings.cluster).set_function(lambda: float(election.is_leading))
    try:
        asyncio.run(run(deps, election))
    except ConfigurationError as error:
        print(error.message, file=sys.stderr)
        return 2
    finally:
        deps.engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
