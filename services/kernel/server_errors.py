"""Which errors of the database are the server's, and not of what was asked of it."""

from __future__ import annotations

import psycopg
from psycopg import errors
from sqlalchemy.exc import DBAPIError

_OF_THE_SERVER = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,  # read only, as after a failover; data that are damaged
    errors.InsufficientPrivilege,
    errors.UndefinedTable,  # the schema of another release
    errors.UndefinedColumn,
)


def is_of_the_server(error: BaseException) -> bool:
    """Check whether the same would have happened to any other row or request.

    True for a server that is gone, full, read only or busy, for a right that was taken, for a table
    or partition that is missing; false for a value that does not fit.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, errors.ProgramLimitExceeded):
        return False  # a value too large for what is made of it
    return isinstance(cause, _OF_THE_SERVER) or is_partition_missing(cause)


def is_partition_missing(error: BaseException | None) -> bool:
    """Check whether no partition takes the row: the one such error that names no constraint."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, errors.CheckViolation) and cause.diag.constraint_name is None
