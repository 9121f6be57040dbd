"""Runs zotpy as `python -m zotpy` does, in circumstances that no setting makes.

python -m tests.faults.uploads.launcher [--without-libcrypto] [--longest-queue N] [--impatient-while FILE] serve -c FILE
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import zotpy.core.hashing
import zotpy.server
from zotpy.cli import main
from zotpy.memory.budget import MemoryBudget
from zotpy.s3.client import S3Client

if TYPE_CHECKING:
    from zotpy.s3.config import S3Config

PATIENCE_S = 3.0


def forget_libcrypto() -> None:
    """Behave as a machine that can load no libcrypto."""
    zotpy.core.hashing._libcrypto = lambda: None


def limit_queue(longest: int) -> None:
    """Turn bodies away when this many wait for memory."""
    zotpy.server.__dict__["MemoryBudget"] = partial(MemoryBudget, longest_queue=longest)


def limit_patience(while_exists: Path) -> None:
    """Give up a call to the store that begins while this file exists after `PATIENCE_S`."""

    def get(client: S3Client) -> S3Config:
        config: S3Config = client.__dict__["config"]
        return replace(config, deadline_s=PATIENCE_S) if while_exists.exists() else config

    def put(client: S3Client, config: S3Config) -> None:
        client.__dict__["config"] = config

    S3Client.config = property(get, put)  # type: ignore[assignment]


def launch() -> int:
    """Take our own options, and run zotpy with the others."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--without-libcrypto", action="store_true")
    parser.add_argument("--longest-queue", type=int)
    parser.add_argument("--impatient-while", type=Path)
    options, arguments = parser.parse_known_args()
    if options.without_libcrypto:
        forget_libcrypto()
    if options.longest_queue is not None:
        limit_queue(options.longest_queue)
    if options.impatient_while is not None:
        limit_patience(options.impatient_while)
    return main(arguments)


if __name__ == "__main__":
    sys.exit(launch())
