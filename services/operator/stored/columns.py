"""Values that come from the cluster as columns of the database can hold them, pure.

Anyone who may write an object chooses them: one that no column holds would fail the transaction of
all.
"""

from __future__ import annotations

LARGEST_COUNT = 2**31 - 1
"""What a column of type `integer` holds; no cluster has so many GPUs or replicas."""


def to_count(count: int | None) -> int | None:
    """A count of GPUs or replicas; more than a column holds is the most that it does."""
    return None if count is None else min(count, LARGEST_COUNT)


def to_text(text: str, most: int = 1000) -> str:
    """The first `most` characters, without NUL, which Postgres keeps in no text."""
    return text.replace("\0", "")[:most]
