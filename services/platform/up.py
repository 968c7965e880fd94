"""`harmony up`: the platform on this machine until stopped."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from services.kernel.clock import SystemClock
from services.kernel.db.session import make_engine, shown_url
from services.kernel.errors import InvalidInput
from services.kernel.security.bind import check_bind
from services.kernel.security.keys import ensure_first_key
from services.kernel.settings import Settings
from services.platform.healing import Healer
from services.platform.platform import (
    Platform,
    check_port_free,
    operator_process,
    platform_servers,
    scaler_process,
    service_processes,
)
from services.platform.stop_signals import (
    ending_on_signals,
    stop_signals_deferred,
    stop_signals_noted,
)

RUNNING_FILE = "running.json"
_WATCH_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class UpOptions:
    """Options of `harmony up`.

    Attributes:
        port: Port of API and console; None: as in the settings.
        kubeconfig: Cluster to look after; None: a simulated one in real time.
        has_scaler: KEDA's external scaler is served too, on the port of the settings.
    """

    port: int | None = None
    kubeconfig: Path | None = None
    has_scaler: bool = False


def run_up(
    settings: Settings,
    options: UpOptions,
    console: Console,
    start_cluster: Callable[[Platform, Path], None],
) -> None:
    """Run until Ctrl-C, SIGTERM or a closed terminal; what ends by itself is started again.

    Args:
        settings: Settings; empty URLs mean the embedded servers.
        options: What is asked for.
        console: Where to talk.
        start_cluster: Starts a cluster where none was given, and writes its kubeconfig.

    Raises:
        InvalidInput: The kubeconfig does not exist, or a port is taken.
        ConfigurationError: It would be reachable from elsewhere without credentials.
        Unavailable: Something does not start, or another process uses the folder.
    """
    kubeconfig = options.kubeconfig
    if kubeconfig is not None and not kubeconfig.is_file():
        raise InvalidInput(f"--kubeconfig={kubeconfig}: no such file")
    for credential in ("admin_key_file", "push_token"):
        check_bind(settings, credential)
    if options.port is not None:
        settings = settings.model_copy(update={"port": options.port})
    if options.has_scaler:
        check_port_free(settings.host, settings.scaler_port, "HARMONY_SCALER_PORT")
    with ending_on_signals(), platform_servers(settings, "up") as platform, announced(platform):
        with stop_signals_deferred():  # a key that was made and not shown is lost
            admin_key = ensure_first_key(
                make_engine(platform.settings.database_url),
                platform.settings.admin_key_file,
                SystemClock().now(),
            )
            console.print(f"admin key        {admin_key or 'the one shown at the first start'}")
        if kubeconfig is None:
            kubeconfig = platform.folder / "kubeconfig"
            start_cluster(platform, kubeconfig)
        processes = [
            *service_processes(platform.settings, platform.token_file),
            operator_process(platform.settings, kubeconfig),
            *([scaler_process(platform.settings)] if options.has_scaler else []),
        ]
        platform.supervisor.start_all(processes)
        console.print(f"API and console  {platform.api_url}")
        console.print(f"push API         {platform.push_url}/v1/observations")
        print_token(platform, console)
        if options.has_scaler:
            console.print(f"external scaler  {platform.supervisor.address('scaler')} (gRPC)")
        console.print(f"database         {shown_url(platform.settings.database_url)}")
        console.print(f"kubeconfig       {kubeconfig}")
        console.print(f"logs             {platform.folder / 'logs'}")
        healer = Healer(platform.supervisor, partial(_say, console))
        wait_until_stopped(healer.step, partial(console.print, "Ctrl-C ends."))


def _say(console: Console, line: str) -> None:
    """Print one line as it is: it may quote another program."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_token(platform: Platform, console: Console) -> None:
    """Print the push token where it was drawn, and its file; one that was given is known."""
    token = platform.settings.push_token
    if platform.token_file is None or token is None:
        console.print("push token       the one of HARMONY_PUSH_TOKEN")
        return
    console.print(f"push token       {token.get_secret_value()}")
    console.print(f"push token file  {platform.token_file}")


@contextmanager
def announced(platform: Platform) -> Iterator[None]:
    """While it runs, other commands find the platform and its time by this file."""
    file = platform.folder / RUNNING_FILE
    urls = {
        "database_url": platform.settings.database_url,
        "redis_url": platform.settings.redis_url,
        "clock": platform.settings.clock,
        "step_s": platform.settings.step_s,
    }
    _write_owners_alone(file, json.dumps(urls))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _write_owners_alone(file: Path, text: str) -> None:
    """Write a file that its owner alone may read, whole: a URL may hold a password."""
    number, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    with os.fdopen(number, "w", encoding="utf-8") as stream:
        stream.write(text)
    Path(name).replace(file)


def wait_until_stopped(watch: Callable[[], None], tell: Callable[[], None] | None = None) -> None:
    """Return on Ctrl-C, SIGTERM or a closed terminal.

    Args:
        watch: Called again and again: raises when a process has ended, or starts it again.
        tell: Called once a stop is taken in order: says that it may be stopped.
    """
    with stop_signals_noted() as stopped:
        if tell is not None:
            tell()
        while not stopped.wait(_WATCH_INTERVAL_S):
            watch()
