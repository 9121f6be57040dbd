"""How a start ends: in an announcement of where the registry listens, or in an error for the person who started it."""

import structlog

from zotpy.config import Settings

log = structlog.get_logger()


class StartupError(Exception):
    """The replica cannot start; the message says why and what to do."""


def announce(settings: Settings, binds: list[str]) -> None:
    """Say once that requests are answered at these URLs; to a person where the store is on this disk."""
    is_embedded = settings.storage.s3 is None
    log.info("serving", listening=binds, store="embedded" if is_embedded else "s3", workers=settings.http.workers)
    if is_embedded:
        where = binds[0].partition("://")[2]
        print(  # noqa: T201 - said to the person at the terminal
            f"\nzotpy is ready on http://{where} (data in {settings.storage.root_directory}). Try:\n\n"
            f"  podman push --tls-verify=false IMAGE {where}/IMAGE:latest\n"
            f"  docker push {where}/IMAGE:latest\n",
            flush=True,
        )
