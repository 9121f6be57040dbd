"""`python -m bench.proxy --upstream HOST:PORT`: a longer, narrower way to an S3 service; prints its port."""

import argparse

import trio

from bench.proxy.proxy import StoreProxy

MB = 1_000_000


async def run(upstream: str, port: int, delay_ms: float, rate_mb: float | None) -> None:
    """Serve until interrupted."""
    host, _, service_port = upstream.rpartition(":")
    rate = None if rate_mb is None else rate_mb * MB
    proxy = StoreProxy(host, int(service_port), delay_s=delay_ms / 1000, bytes_per_s=rate)
    async with trio.open_nursery() as nursery:
        await proxy.start(nursery, port)
        print(proxy.port, flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.proxy", description=__doc__)
    parser.add_argument("--upstream", required=True, metavar="HOST:PORT", help="the S3 service")
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1; 0: any free one")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="how long each call waits before it is forwarded")
    parser.add_argument("--rate-mb", type=float, help="MB (10^6 bytes) a second for each connection and direction")
    options = parser.parse_args()
    try:
        trio.run(run, options.upstream, options.port, options.delay_ms, options.rate_mb)
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
