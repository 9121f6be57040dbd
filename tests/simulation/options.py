"""The options of a run of the tests that say how many schedules are searched, and from which seed on."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.changes import have_changed

SIMULATED = (
    "tests/simulation",
    "zotpy/bell.py",
    "zotpy/bucket",
    "zotpy/cache",
    "zotpy/collector",
    "zotpy/concurrency.py",
    "zotpy/core",
    "zotpy/memory",
    "zotpy/mirror",
    "zotpy/registry",
    "zotpy/services.py",
    "zotpy/settings",
    "zotpy/store",
    "zotpy/trio_clock.py",
)
"""What the simulation runs, and itself: a change there is searched for long."""
IMPORTED = ("zotpy/garbage.py", "zotpy/http", "zotpy/libraries.py", "zotpy/s3", "zotpy/upstream")
"""What is imported as well, and decides nothing in a schedule: the upstream of the simulation is drawn."""
CHANGED, LONG = 4, 10
"""How many times as many schedules as usual are searched after a change of what is simulated, and with `--long`."""
SEEDS = 1 << 31
"""Seeds of a fresh search are drawn below it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addoption(
        "--long",
        action="store_true",
        help=f"search {LONG} times as many schedules of the simulation, whether what it runs has changed or not",
    )
    parser.addoption(
        "--simulation-times",
        type=int,
        metavar="TIMES",
        help=f"search so many times as many schedules as usual: {CHANGED} if what the simulation runs has changed",
    )
    parser.addoption(
        "--simulation-seed", type=int, metavar="SEED", help="search schedules from this seed on, not from a fresh one"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Decide how long the search is, and draw its seed; the processes of pytest-xdist are told both."""
    if (told := getattr(config, "workerinput", None)) is not None:
        config.option.simulation_times, config.option.simulation_seed = told["simulation"]
        return
    if config.option.long:
        config.option.simulation_times = LONG
    elif config.option.simulation_times is None:
        config.option.simulation_times = CHANGED if have_changed(SIMULATED) else 1
    if config.option.simulation_seed is None:
        config.option.simulation_seed = secrets.randbelow(SEEDS)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_configure_node(node: Any) -> None:
    """Tell a process how long the search is, and from which seed on."""
    node.workerinput["simulation"] = (node.config.option.simulation_times, node.config.option.simulation_seed)


def pytest_report_header(config: pytest.Config) -> str:
    """Say how to search the same schedules again."""
    option = config.option
    return (
        f"schedules of the simulation: --simulation-times {option.simulation_times}"
        f" --simulation-seed {option.simulation_seed}"
    )
