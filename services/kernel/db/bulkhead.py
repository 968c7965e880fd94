"""A bulkhead: what fails for one of many is found and set apart, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.kernel.db.session import UnitOfWork
from services.kernel.errors import Unavailable
from services.kernel.server_errors import is_of_the_server

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SetApart(Generic[Item]):
    """An item that failed although nothing else was done beside it.

    Attributes:
        item: The item.
        error: Why.
    """

    item: Item
    error: Exception


@dataclass(frozen=True, slots=True)
class PartsDone(Generic[Item, Result]):
    """What came of the items.

    Attributes:
        results: One result for each part that was done together.
        apart: Items that failed alone.
    """

    results: tuple[Result, ...]
    apart: tuple[SetApart[Item], ...]


def in_parts(
    work: UnitOfWork, items: Sequence[Item], do: Callable[[Sequence[Item]], Result]
) -> PartsDone[Item, Result]:
    """Do something for all items at once; where that fails, for halves, down to what fails alone.

    Each try is a savepoint: of one that failed neither rows nor jobs stay. An item that fails costs
    about twice the logarithm of the number of items in further tries, the others' work once more.

    Args:
        work: The transaction.
        items: What to do it for; with none nothing is done.
        do: Does it for some of the items, in their order, and may be called with any of them again.

    Raises:
        Exception: What is wrong is of no item: the database is gone, a lock is not granted.
    """
    if not items:
        return PartsDone((), ())
    n_jobs = len(work.jobs)
    try:
        with work.connection.begin_nested():
            return PartsDone((do(items),), ())
    except Exception as error:  # whatever an item may raise: looked at below, or set apart
        if _is_of_the_platform(error):
            raise
        del work.jobs[n_jobs:]
        if len(items) == 1:
            return PartsDone((), (SetApart(items[0], error),))
    middle = len(items) // 2
    first, second = (in_parts(work, part, do) for part in (items[:middle], items[middle:]))
    return PartsDone(first.results + second.results, first.apart + second.apart)


def _is_of_the_platform(error: Exception) -> bool:
    """A server that is gone or read only, a lock that was not granted, no memory."""
    return isinstance(error, (Unavailable, MemoryError)) or is_of_the_server(error)
