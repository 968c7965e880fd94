"""One database server for many runs, each in a database of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from services.kernel.db.migrations import migrate
from services.kernel.db.session import dispose_engines, make_engine
from services.kernel.settings import Settings
from services.lab.bench.llm_product import repository
from services.platform.embedded_postgres import embedded_postgres
from services.platform.embedded_servers import default_home

_TEMPLATE = "llm_template"


@dataclass(frozen=True, slots=True)
class RunDatabases:
    """A server with a migrated database that each run gets a copy of."""

    server_url: str
    numbers: Iterator[int]

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """URL of a new, migrated database; dropped afterwards."""
        name = f"llm_run_{next(self.numbers)}"
        repository.create_database(self.server_url, name, _TEMPLATE)
        url = _with_database(self.server_url, name)
        try:
            yield url
        finally:
            dispose_engines(url)
            repository.drop_database(self.server_url, name)


@contextmanager
def run_databases(settings: Settings) -> Iterator[RunDatabases]:
    """Start an embedded server and migrate the database that runs copy; all of it goes on exit.

    Args:
        settings: `home` says where the embedded servers keep their data.

    Raises:
        Unavailable: It does not start.
    """
    home = (settings.home or default_home()) / f"bench-llm-{os.getpid()}"
    try:
        with embedded_postgres(home) as url:
            prepare_template(url)
            yield RunDatabases(url, count(1))
    finally:
        shutil.rmtree(home, ignore_errors=True)


def prepare_template(server_url: str) -> None:
    """Make the database that runs copy."""
    repository.create_database(server_url, _TEMPLATE)
    engine = make_engine(_with_database(server_url, _TEMPLATE))
    migrate(engine)
    engine.dispose()


def _with_database(url: str, name: str) -> str:
    head, _, query = url.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
