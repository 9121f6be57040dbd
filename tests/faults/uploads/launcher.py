"""Runs zotpy as `python -m zotpy` does, in circumstances that no setting makes.

python -m tests.faults.uploads.launcher [--without-libcrypto] [--longest-queue N] [--store-patience S] serve -c FILE
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import zotpy.core.hashing
import zotpy.server
from zotpy.cli import main
from zotpy.registry.budget import MemoryBudget
from zotpy.s3.client import S3Client

if TYPE_CHECKING:
    import httpx

    from zotpy.s3.config import S3Config


def forget_libcrypto() -> None:
    """Be on a machine where no libcrypto can be loaded."""
    zotpy.core.hashing._libcrypto = lambda: None  # type: ignore[assignment]


def limit_queue(longest: int) -> None:
    """Turn bodies away when this many wait for memory."""
    zotpy.server.__dict__["MemoryBudget"] = partial(MemoryBudget, longest_queue=longest)


def limit_patience(seconds: float) -> None:
    """Give up a call to the store after so long."""
    make = S3Client.__init__

    def make_impatient(self: S3Client, config: S3Config, transport: httpx.AsyncBaseTransport) -> None:
        make(self, replace(config, read_timeout_s=seconds, deadline_s=seconds), transport)

    S3Client.__init__ = make_impatient  # type: ignore[method-assign]


def launch() -> int:
    """Take our own options, and run zotpy with the others."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--without-libcrypto", action="store_true")
    parser.add_argument("--longest-queue", type=int)
    parser.add_argument("--store-patience", type=float)
    options, arguments = parser.parse_known_args()
    if options.without_libcrypto:
        forget_libcrypto()
    if options.longest_queue is not None:
        limit_queue(options.longest_queue)
    if options.store_patience is not None:
        limit_patience(options.store_patience)
    return main(arguments)


if __name__ == "__main__":
    sys.exit(launch())
