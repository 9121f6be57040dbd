"""Real S3 servers for the tests: SeaweedFS as a process, moto in a thread."""

from __future__ import annotations

from moto.server import ThreadedMotoServer

from bench.servers.stores import ACCESS_KEY, REGION, SECRET_KEY, Bucket, SeaweedServer

__all__ = ["Bucket", "MotoServer", "SeaweedServer"]


class MotoServer:
    """moto's S3, in a thread of this process."""

    def __init__(self) -> None:
        """Prepare it; nothing is started yet."""
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.endpoint = ""

    def start(self) -> None:
        """Start it on a free port."""
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"

    def stop(self) -> None:
        """End it."""
        self._server.stop()

    def bucket(self, name: str) -> Bucket:
        """Name a bucket on it."""
        return Bucket(self.endpoint, REGION, name, ACCESS_KEY, SECRET_KEY)
