"""`python -m services.lab.cluster`: a simulated GPU cluster that speaks the Kubernetes API."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import yaml
from aiohttp import web

from services.kernel.clock import wall_seconds
from services.kernel.listening import authority, report_address
from services.lab.cluster.cluster import ClusterSettings, SimulatedCluster
from services.lab.cluster.kubeconfig import DEFAULT_TOKEN, make_kubeconfig
from services.lab.cluster.storage.objects import Write
from services.lab.cluster.storage.resources import CUSTOM_RESOURCE_DEFINITIONS
from services.lab.cluster.wire.server import ApiServer
from services.operator.cluster.accelerators import plugin_of
from services.operator.resource import definitions
from services.simulator.engine.engine import NodeSpec
from services.simulator.engine.needs import GPU

_POOL = re.compile(
    r"(?P<type>[A-Za-z0-9][-A-Za-z0-9_.]*)=(?P<nodes>\d+)x(?P<gpus>\d+)(?::(?P<resource>[\w./-]+))?"
)


def parse_nodes(text: str) -> list[NodeSpec]:
    """Nodes of pools such as `H100=8x8,L4=10x4`: eight nodes of eight, ten of four GPUs.

    They are `nvidia.com/gpu` unless another resource is named: `MI300X=2x8:amd.com/gpu`.

    Raises:
        ValueError: If it cannot be read.
    """
    nodes = []
    for part in filter(None, text.split(",")):
        found = _POOL.fullmatch(part.strip())
        if not found:
            raise ValueError(f"nodes: {part!r} must be TYPE=NODESxGPUS[:RESOURCE], e.g. H100=8x8")
        resource = found["resource"] or GPU
        if plugin_of(resource) is None:
            raise ValueError(f"nodes: {resource!r} must be the resource of a GPU, e.g. {GPU}")
        for i in range(int(found["nodes"])):
            name = f"{found['type'].lower().replace('_', '-')}-{i:03d}"
            gpus = int(found["gpus"])
            nodes.append(NodeSpec(name, found["type"], gpus, resource=resource))
    return nodes


def parse_start(text: str) -> float:
    """Epoch seconds of an RFC 3339 time.

    Raises:
        ValueError: If it is none, or has no time zone.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"start: {text!r} needs a time zone, e.g. 2026-01-05T00:00:00Z")
    return at.astimezone(UTC).timestamp()


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m services.lab.cluster", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--nodes",
        default="H100=8x8,A100=4x8,L4=10x4",
        help=f"TYPE=NODESxGPUS[:RESOURCE], ... ({GPU} unless another resource is named)",
    )
    parser.add_argument("--clock", choices=("real", "lab"), default="real")
    parser.add_argument("--start", help="time at the start, RFC 3339; with --clock lab")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--watch-log", type=int, default=4_000, help="changes kept per resource")
    parser.add_argument("--admin-token", help="ask for bearer tokens; this one may do everything")
    parser.add_argument("--definitions", action="store_true", help="know Harmony's own resources")
    parser.add_argument("--port-file", type=Path)
    parser.add_argument("--kubeconfig-out", type=Path)
    return parser.parse_args(arguments)


def make_settings(options: argparse.Namespace) -> ClusterSettings:
    """Settings from the command line.

    Raises:
        ValueError: Naming the option that is wrong.
    """
    if options.start and options.clock == "real":
        raise ValueError("start: only with --clock lab; the real clock starts now")
    return ClusterSettings(
        nodes=parse_nodes(options.nodes),
        seed=options.seed,
        start_s=parse_start(options.start) if options.start else wall_seconds(),
        real_now_s=wall_seconds if options.clock == "real" else None,
        admin_token=options.admin_token,
        watch_log=options.watch_log,
    )


async def serve(options: argparse.Namespace, settings: ClusterSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    cluster = SimulatedCluster(settings)
    for manifest in definitions.manifests() if options.definitions else ():
        write = Write("harmony", cluster.now())
        body = json.loads(json.dumps(manifest))  # no list is shared, nor a tuple
        cluster.objects.create(CUSTOM_RESOURCE_DEFINITIONS, "", body, write)
    server = ApiServer(cluster)
    runner = web.AppRunner(server.make_app(), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.port)
    await site.start()
    port = runner.addresses[0][1]
    url = f"http://{authority(options.host, port)}"
    if options.kubeconfig_out:
        token = options.admin_token or DEFAULT_TOKEN
        write_whole(options.kubeconfig_out, yaml.safe_dump(make_kubeconfig(url, token)))
    if options.port_file:
        write_whole(options.port_file, f"{port}\n")
    # What has been loaded stays: the collector need not look at it again.
    gc.freeze()
    report_address("cluster", options.host, port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    await runner.cleanup()


def write_whole(path: Path, text: str) -> None:
    """Write a file that others wait for: it appears with all of its text."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def main(arguments: Sequence[str]) -> int:
    """Run the server; exit code 2 for a wrong option or a port in use."""
    options = parse_arguments(arguments)
    try:
        settings = make_settings(options)
        asyncio.run(serve(options, settings))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
