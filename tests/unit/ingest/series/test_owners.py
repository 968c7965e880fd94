"""One series owns an indicator; others take over only once it has been silent."""

from __future__ import annotations

from services.ingest.series.owners import Claim, Identity, SeriesOwners
from services.ingest.series.samples import SECOND_US, TimeSpan
from services.ingest.series.translate import PushedSeriesName

NAME = PushedSeriesName("shop", "llama", "load_rps")
OWN, COPY, OTHER = Identity(1, 1), Identity(1, 2), Identity(2, 1)


def span(first_s: int, last_s: int | None = None) -> TimeSpan:
    return TimeSpan(first_s * SECOND_US, (first_s if last_s is None else last_s) * SECOND_US)


def test_a_replica_takes_over_after_a_minute_and_a_series_after_five() -> None:
    owners = SeriesOwners()
    assert owners.claim(NAME, OWN, span(0, 100)) is Claim.OWNER
    assert owners.claim(NAME, OWN, span(50)) is Claim.OWNER  # late samples move nothing back
    assert owners.claim(NAME, COPY, span(160)) is Claim.OTHER_REPLICA
    assert owners.claim(NAME, OTHER, span(400)) is Claim.OTHER_SERIES
    assert owners.claim(NAME, COPY, span(161)) is Claim.OWNER
    assert owners.claim(NAME, OTHER, span(462)) is Claim.OWNER


def test_only_the_owner_releases() -> None:
    owners = SeriesOwners()
    owners.claim(NAME, OWN, span(0))
    owners.release(NAME, OTHER)
    assert owners.claim(NAME, OTHER, span(1)) is Claim.OTHER_SERIES
    owners.release(NAME, OWN)
    assert owners.claim(NAME, OTHER, span(1)) is Claim.OWNER


def test_the_longest_silent_are_forgotten() -> None:
    owners = SeriesOwners(max_entries=2)
    names = [PushedSeriesName("shop", f"w{number}", "load_rps") for number in range(3)]
    for name in (names[0], names[1], names[0], names[2]):
        owners.claim(name, OWN, span(0))
    assert owners.claim(names[0], OTHER, span(1)) is Claim.OTHER_SERIES
    assert owners.claim(names[1], OTHER, span(1)) is Claim.OWNER
