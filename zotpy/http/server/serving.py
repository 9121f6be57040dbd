"""Accepts connections with hypercorn, and makes each of them one of ours."""

from typing import Any

import hypercorn.trio
import hypercorn.trio.run
import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.typing import AppWrapper, Framework

from zotpy.http.server.admission import Admission
from zotpy.http.server.connections import BoundedConnection
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.sending import Application


def _connection(app: AppWrapper, config: Config, *others: Any) -> TCPServer:
    return (BoundedConnection if isinstance(config, ServerConfig) else TCPServer)(app, config, *others)


async def serve(
    app: Framework,
    config: ServerConfig,
    *,
    stop: trio.Event,
    task_status: "trio.TaskStatus[list[str]]" = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept connections until `stop`. Report the addresses once they can be made."""
    config.admission = admission = config.admission or Admission()
    config.application = app if isinstance(app, Application) else None  # type: ignore[redundant-expr]  # any framework
    config.ssl_handshake_timeout = config.head_timeout_s
    hypercorn.trio.run.TCPServer = _connection  # type: ignore[assignment, attr-defined]  # no seam for this
    with admission.accepting():
        await hypercorn.trio.serve(app, config, shutdown_trigger=stop.wait, task_status=task_status)
