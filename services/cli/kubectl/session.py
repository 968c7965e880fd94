"""Server, credentials and namespace that every command of the kubectl plugin needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from services.cli.kubectl.api import CLUSTER_VARIABLE, AdminApi, read_key, read_server
from services.kernel.clock import Clock, SystemClock
from services.kernel.errors import HarmonyError, InvalidInput
from services.kernel.security.printable import without_escapes

if TYPE_CHECKING:
    from services.cli.kubectl.cluster import Cluster

PROGRAM = "kubectl harmony"
FAILED = 2
_Result = TypeVar("_Result")

Names = Annotated[list[str], typer.Argument(metavar="NAME", help="GPUAutoscalers.")]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Namespace; default: that of the kubeconfig's context."),
]
Context = Annotated[
    str | None,
    typer.Option("--context", help="Context of the kubeconfig; default: the current one."),
]
Server = Annotated[
    str | None, typer.Option(help="Address of Harmony's admin API; default: HARMONY_URL.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="File with the API key; default: HARMONY_KEY_FILE, else HARMONY_KEY."),
]
InCluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Of several clusters of one Harmony, the one to ask about; default: HARMONY_CLUSTER.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@dataclass
class Session:
    """Clients that are made when they are first needed.

    Attributes:
        clock: Time where the server does not replay another one.
    """

    server: str | None
    key_file: Path | None
    given_namespace: str | None
    context: str | None
    clock: Clock
    in_cluster: str | None = None

    @cached_property
    def api(self) -> AdminApi:
        """The admin API."""
        named = self.in_cluster or os.environ.get(CLUSTER_VARIABLE, "")
        server, key = read_server(self.server, os.environ), read_key(self.key_file, os.environ)
        return AdminApi(server, key, named)

    @cached_property
    def cluster(self) -> Cluster:
        """The Kubernetes API."""
        from services.cli.kubectl.cluster import Cluster  # a slow import, not always needed

        return Cluster(self.context)

    @cached_property
    def namespace(self) -> str:
        """The namespace asked for, else the context's."""
        if self.given_namespace:
            return self.given_namespace
        from services.cli.kubectl.cluster import namespace_of_context

        return namespace_of_context(self.context)

    def now(self) -> datetime:
        """What ages and ends are measured against: the server's time where it replays one."""
        api: AdminApi | None = self.__dict__.get("api")
        told = None if api is None else api.replayed_at
        return told or self.clock.now()

    def close(self) -> None:
        """Close what was opened."""
        for name in ("api", "cluster"):
            if name in self.__dict__:
                self.__dict__[name].close()


@contextmanager
def session(
    context: typer.Context,
    namespace: str | None = None,
    kube_context: str | None = None,
    server: str | None = None,
    key_file: Path | None = None,
    in_cluster: str | None = None,
) -> Iterator[Session]:
    """A session of one command; the clock is the caller's (tests) or the machine's."""
    clock = context.obj or SystemClock()
    found = Session(server, key_file, namespace, kube_context, clock, in_cluster)
    try:
        yield found
    finally:
        found.close()


def each(names: Iterable[str], work: Callable[[str], _Result]) -> tuple[list[_Result], bool]:
    """Do `work` for each name; a failure is one line on stderr and the others go on.

    Returns:
        The results, and whether all worked.
    """
    found: list[_Result] = []
    is_complete = True
    for name in dict.fromkeys(names):
        try:
            found.append(work(name))
        except HarmonyError as error:
            print_error(error.message)
            is_complete = False
    return found, is_complete


def print_error(message: str) -> None:
    """Print one line on stderr."""
    typer.echo(f"{PROGRAM}: {without_escapes(' '.join(message.split()))}", err=True)


def only_one(names: list[str], option: str) -> None:
    """Refuse an option that names one object together with several names.

    Raises:
        InvalidInput: There are several names.
    """
    if len(set(names)) > 1:
        raise InvalidInput(f"{option} goes with one NAME, not with {len(names)}")
