"""Which errors of the database are the server's."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from services.kernel.server_errors import is_of_the_server, is_partition_missing


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("gone"),
        psycopg.InterfaceError("closed"),
        errors.ReadOnlySqlTransaction("a replica"),
        errors.DiskFull("full"),
        errors.LockNotAvailable("locked"),
        errors.QueryCanceled("statement timeout"),
        errors.TooManyConnections("full"),
        errors.InsufficientPrivilege("revoked"),
        errors.UndefinedColumn("of another release"),
        errors.CheckViolation("no partition of relation"),
    ],
)
def test_what_any_other_row_would_have_met_is_the_servers(error: psycopg.Error) -> None:
    assert is_of_the_server(error)
    assert is_of_the_server(DBAPIError("INSERT", {}, error))


@pytest.mark.parametrize(
    "error",
    [
        errors.NumericValueOutOfRange("too large"),
        errors.UniqueViolation("twice"),
        errors.ProgramLimitExceeded("a row of a gigabyte"),
        ValueError("of ours"),
    ],
)
def test_a_value_that_does_not_fit_is_not(error: Exception) -> None:
    assert not is_of_the_server(error)
    assert not is_partition_missing(error)
