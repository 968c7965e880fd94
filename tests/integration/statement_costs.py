"""The blocks that each statement reads, found by explaining every one that is about to run."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

EXPLAINED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
OF_SESSION = ("pg_advisory_lock(", "pg_try_advisory_lock(", "setval(")
"""What a savepoint does not take back is not run twice."""
_COUNTS = ("Shared Hit Blocks", "Shared Read Blocks", "Local Hit Blocks", "Temp Read Blocks")


@contextmanager
def statement_costs() -> Iterator[dict[str, int]]:
    """Blocks read by each statement within, summed up over its runs; of every engine.

    A statement is explained with its own parameters where it is about to run, then taken back.
    Rows that arrive by COPY are new work by their nature, and triggers are not counted.
    """
    found: dict[str, int] = defaultdict(int)

    def explain(
        connection: Any, _: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        driver = connection.connection.driver_connection
        is_session = driver.autocommit or any(word in statement for word in OF_SESSION)
        if is_session or not statement.lstrip("( \n").startswith(EXPLAINED):
            return
        given = parameters[0] if executemany else parameters
        with driver.cursor() as cursor:
            cursor.execute("SAVEPOINT explained")
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", given)
            (answer,) = cursor.fetchone()
            cursor.execute("ROLLBACK TO SAVEPOINT explained")
        answer = json.loads(answer) if isinstance(answer, str) else answer
        found[" ".join(statement.split())] += sum(answer[0]["Plan"].get(n, 0) for n in _COUNTS)

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", explain)


def grown(small: dict[str, int], large: dict[str, int], factor: float, slack: int) -> list[str]:
    """Statements that read more than `factor` times as much over the longer history.

    Args:
        small: Blocks over the shorter history.
        large: Over the longer one.
        factor: What a higher tree of an index may cost.
        slack: Blocks that make no difference.
    """
    return [
        f"{small.get(statement, 0)} -> {blocks} blocks: {statement[:1500]}"
        for statement, blocks in sorted(large.items(), key=lambda item: -item[1])
        if blocks > factor * small.get(statement, 0) + slack
    ]
