"""What GPUs cost, asked by hand: `harmony advise` and `harmony showback`."""

from __future__ import annotations

from datetime import timedelta

from services.admin.showback.schemas import Showback
from services.admin.showback.service import ShowbackQuery, get_showback, get_showback_csv
from services.advisory.report import AdvisoryReport
from services.advisory.service import AdvisoryQuery, load_report
from services.kernel.clock import make_clock
from services.kernel.db.session import check_reachable, make_engine
from services.kernel.settings import Settings
from services.platform.repository import cluster_engine
from services.platform.stages import StoredReads


def advise(settings: Settings, query: AdvisoryQuery) -> AdvisoryReport:
    """The advisory report of the services that Harmony does not scale, up to now.

    Where several clusters share the database it is of `HARMONY_CLUSTER`.

    Raises:
        NotFound: No workload of the namespace and name asked for is active, or left in this time.
    """
    clock = make_clock(settings.clock, settings.redis_url)
    reads = StoredReads(cluster_engine(settings), clock)
    with reads.reading() as connection:
        return load_report(connection, query, reads.clock.now())


def showback(settings: Settings, by: str, since: timedelta, namespace: str) -> tuple[Showback, str]:
    """Dollars per team up to now, of all clusters of the database, and the same as CSV.

    Args:
        settings: Settings.
        by: `namespace`, or `label=NAME`.
        since: Length of the time up to now.
        namespace: Only this one; empty: all.

    Raises:
        InvalidInput: What teams are by, or the time, cannot be used.
    """
    engine = make_engine(settings.database_url)
    check_reachable(engine)
    reads = StoredReads(engine, make_clock(settings.clock, settings.redis_url))
    now = reads.clock.now()
    query = ShowbackQuery(by, now - since, now, {"namespace": namespace or None})
    return get_showback(reads, query), get_showback_csv(reads, query)
