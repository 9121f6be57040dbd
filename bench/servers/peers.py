"""Go programs that zotpy is measured beside: found where they were built, or built once."""

import os
from pathlib import Path

from rich.console import Console

from bench.servers import programs
from bench.servers.processes import ProgramMissing, find_program

MODULES = {
    "registry": "github.com/distribution/distribution/v3/cmd/registry@v3.1.1",
    "versitygw": "github.com/versity/versitygw/cmd/versitygw@v1.8.0",
}


def find_peer(name: str) -> Path:
    """Return the program from `ZOTPY_BENCH_PEERS`, from where peers are kept, or `PATH`. Raises `ProgramMissing`."""
    places = [os.environ.get("ZOTPY_BENCH_PEERS"), str(programs.kept(MODULES[name]).parent)]
    return find_program(name, f"go install {MODULES[name]}", places)


def find_or_build_peer(name: str) -> Path:
    """Return the program, built where it is nowhere, which takes minutes. Raises `ProgramMissing`."""
    try:
        return find_peer(name)
    except ProgramMissing:
        return programs.build(MODULES[name], Console(stderr=True))
