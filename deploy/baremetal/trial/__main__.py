"""A whole site on one machine: an S3 server, replicas and HAProxy, each started again when it dies; Ctrl-C ends all.

The S3 server is zotpy's embedded one, on the site's directory. A replica is `zotpy serve` on a port of its own, as on
any host, and HAProxy has the rules of `../haproxy/haproxy.cfg`. The end goes from the outside in: HAProxy takes no
connection any more, replicas finish what is under way, then the store ends. A second Ctrl-C ends all at once.
Nothing outlives this process, however it ends.
"""

import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import httpx
import trio

from deploy.baremetal.trial.parts import POLL_S, Part, say
from deploy.baremetal.trial.places import Site, SiteError, arguments, find_haproxy, site_for, write
from zotpy.concurrency import plain_errors
from zotpy.embedded import EmbeddedStoreError, embedded_store

if TYPE_CHECKING:
    from pathlib import Path

START_TIMEOUT_S = 120.0


def main() -> int:
    """Run the site until SIGINT or SIGTERM; 0: it ended in order, 1: it could not run."""
    try:
        trio.run(run, site_for(arguments().parse_args()), strict_exception_groups=True)
    except (SiteError, EmbeddedStoreError) as error:
        sys.stderr.write(f"try: {error}\n")
        return 1
    return 0


async def run(site: Site) -> None:
    """Run the site until a signal. Raises `SiteError`, `EmbeddedStoreError`."""
    with plain_errors():
        async with trio.open_nursery() as nursery:
            stop = trio.Event()
            await nursery.start(_listen_for_signals, stop, nursery.cancel_scope)
            say(f"starting an S3 server, {len(site.replica_ports)} replicas and HAProxy; logs are in {site.root}")
            async with embedded_store(site.root / "store") as store:
                write(site, store)
                await _run_parts(site, stop)
            nursery.cancel_scope.cancel()


async def _run_parts(site: Site, stop: trio.Event) -> None:
    """Run replicas and HAProxy, and end them in order once told to."""
    replicas = [_replica(site, number, port) for number, port in enumerate(site.replica_ports, 1)]
    command: list[str | Path] = [find_haproxy(), "-db", "-f", site.haproxy]
    edge = Part("haproxy", command, site.log("haproxy"), signal.SIGUSR1, site.root)
    async with trio.open_nursery() as nursery:
        for part in [*replicas, edge]:
            nursery.start_soon(part.keep_running)
        async with trio.open_nursery() as starting:
            starting.start_soon(_cancel_when, stop, starting.cancel_scope)
            await _until_ready(site)
            announce(site, replicas)
            await stop.wait()
        say("ending: HAProxy, then the replicas, then the store (Ctrl-C again: at once)")
        await edge.end()
        async with trio.open_nursery() as ending:
            for part in replicas:
                ending.start_soon(part.end)
    say("ended")


def _replica(site: Site, number: int, port: int) -> Part:
    command: list[str | Path] = [sys.executable, "-m", "zotpy", "serve", "-c", site.configuration, "--port", str(port)]
    return Part(f"replica{number}", command, site.log(f"replica{number}"))


async def _until_ready(site: Site) -> None:
    """Wait until every replica answers, and HAProxy has found them. Raises `SiteError`."""
    asked = [*(f"http://127.0.0.1:{port}/readyz" for port in site.replica_ports), f"http://127.0.0.1:{site.port}/v2/"]
    with trio.move_on_after(START_TIMEOUT_S):
        async with httpx.AsyncClient(trust_env=False) as client:
            for url in asked:
                while not await _answers(client, url):  # noqa: ASYNC110 - nobody tells us
                    await trio.sleep(POLL_S)
        return
    msg = f"not ready after {START_TIMEOUT_S:g} s; the logs in {site.root} say why"
    raise SiteError(msg)


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


async def _listen_for_signals(
    stop: trio.Event, everything: trio.CancelScope, task_status: "trio.TaskStatus[None]"
) -> None:
    """Ask for the end at the first signal, and wait for nothing more at the second."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            if stop.is_set():
                everything.cancel()
            stop.set()


async def _cancel_when(stop: trio.Event, scope: trio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()


def announce(site: Site, replicas: Sequence[Part]) -> None:
    """Say where everything is, and what to do with it."""
    where = f"127.0.0.1:{site.port}"
    pids = ", ".join(str(part.process.pid) for part in replicas if part.process is not None)
    say(
        f"\nThe registry is ready on http://{where} (data in {site.root}). Try:\n\n"
        f"  podman push --tls-verify=false IMAGE {where}/IMAGE:latest\n"
        f"  docker push {where}/IMAGE:latest\n\n"
        f"  HAProxy's page   http://127.0.0.1:{site.inside_port}/stats\n"
        f"  its metrics      http://127.0.0.1:{site.inside_port}/metrics\n"
        f"  replicas         ports {', '.join(map(str, site.replica_ports))}; processes {pids}:\n"
        f"                   kill -9 one, or kill it to see it drain; it is started again\n"
        f"  the end          Ctrl-C\n"
    )


if __name__ == "__main__":
    sys.exit(main())
