"""Use case: store what a Prometheus writes.

An indicator is one series, as in a pull, where a query must give one. A second series for the same
indicator is refused rather than mixed in, until the first has ended or has been silent for as long
as Prometheus itself would go on repeating it. Of the counts of an objective that are pushed each
series is the counter of one pod instead, and all are added up as rates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.ingest.deps import IngestDeps
from services.ingest.push.service import write
from services.ingest.remote_write.claims import Mapping
from services.ingest.remote_write.counts import N_COUNTS, add_counts, split_pods
from services.ingest.remote_write.mapped import (
    EXPECTED,
    n_left_out,
    to_counters,
    to_histograms,
    to_parsed,
)
from services.ingest.remote_write.pod_service import write_pods
from services.ingest.remote_write.pods import PodCounter, pod_counts
from services.ingest.remote_write.protocol import RemoteWrite, Version, decode
from services.ingest.remote_write.wire import RequestLimits
from services.ingest.series import repository
from services.ingest.series.catalog import WorkloadName, WorkloadRef
from services.ingest.series.samples import SECOND_US, Rejection
from services.ingest.series.translate import ParsedPush
from services.kernel.db.session import unit_of_work

SOURCE = "remote_write"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """Outcome of a remote write.

    Attributes:
        n_written: Samples stored; a native histogram is stored as three.
        rejected: Samples and histograms that were not, by reason.
        n_done: Samples that are done with: stored, or left out as they should be.
        n_histograms_done: Native histograms that are.
    """

    n_written: int
    rejected: tuple[Rejection, ...]
    n_done: int
    n_histograms_done: int

    @property
    def faults(self) -> tuple[Rejection, ...]:
        """Samples of `rejected` that the sender, its rules or the workloads have wrong."""
        return tuple(found for found in self.rejected if found.reason not in EXPECTED)


def remote_write(
    deps: IngestDeps, body: bytes, version: Version, namespaces: frozenset[str] | None = None
) -> WriteResult:
    """Store the samples of a remote write.

    Samples may be as late as a Prometheus repeats what it could not deliver, later than others.

    Args:
        deps: Dependencies.
        body: A Snappy block.
        version: What it holds.
        namespaces: Those that may be written to; None: all of them.

    Raises:
        BadRequest: The request cannot be read; nothing is stored.
        PayloadTooLarge: It is over a limit; nothing is stored.
    """
    settings = deps.settings
    limits = RequestLimits(settings.remote_write_max_bytes, settings.push_max_samples)
    ahead_us = round(settings.future_s * SECOND_US)
    mapping = Mapping(deps.remote_rules, deps.owners, namespaces, ahead_us)
    with deps.decoding:
        read = _read(deps, decode(body, version, limits, mapping.rules), mapping)
    late_s = max(settings.late_s, settings.remote_write_late_s)
    late = settings.model_copy(update={"late_s": late_s})
    pods = write_pods(deps, read.counters, read.parsed.rejections, late, SOURCE)
    result = write(deps, read.parsed, SOURCE, late)
    n_done = result.n_accepted + n_left_out(result.rejected) - read.n_counts + pods.n_done
    return WriteResult(
        result.n_accepted + pods.n_stored,
        result.rejected,
        min(max(0, n_done), read.n_floats),
        read.n_histograms + pods.n_histograms,
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """A request by what becomes of it.

    Attributes:
        parsed: Samples of indicators, and counts of recorded histograms.
        counters: Counters of single pods.
        n_floats: Samples that are no histograms.
        n_counts: Native histograms left out, and counts that are no samples of their own.
        n_histograms: Native histograms that are done with.
    """

    parsed: ParsedPush
    counters: list[PodCounter]
    n_floats: int
    n_counts: int
    n_histograms: int


def _read(deps: IngestDeps, request: RemoteWrite, mapping: Mapping) -> _Read:
    now = deps.clock.now()
    origins = mapping.origins_of(request)
    request = replace(request, origins=origins)
    known = _counting_workloads(deps, request, mapping)
    counts = pod_counts(request.labels, origins, known)
    parsed = to_parsed(request, mapping, now, counts.keys())
    counters = to_counters(request, counts, mapping, parsed.rejections, now)
    n_before = n_left_out(parsed.rejections.as_tuple())
    histograms = to_histograms(request, mapping, parsed.rejections, now)
    n_skipped = n_left_out(parsed.rejections.as_tuple()) - n_before
    n_kept = len(parsed.samples)
    counters += split_pods(parsed, [one for one in histograms if one.pod is not None], known)
    parsed = add_counts(parsed, [one for one in histograms if one.pod is None], known)
    n_added = len(parsed.samples) - n_kept
    n_histograms = n_skipped + n_added // N_COUNTS
    return _Read(parsed, counters, len(request.value), n_skipped + n_added, n_histograms)


def _counting_workloads(
    deps: IngestDeps, request: RemoteWrite, mapping: Mapping
) -> dict[WorkloadName, WorkloadRef]:
    """Workloads that series of counts name, and native histograms, which are nothing else.

    Those that the sender may not write to are not looked for: the answer would tell which exist.
    """
    native = {one.series for one in request.histograms}
    found = {
        WorkloadName(one.name.namespace, one.name.workload)
        for number, one in enumerate(request.origins)
        if one.name is not None and (one.is_count or number in native)
        if mapping.is_permitted(one.name)
    }
    if not found:
        return {}
    with unit_of_work(deps.engine) as work:
        return repository.find_workloads(work.connection, sorted(found), deps.catalog)
