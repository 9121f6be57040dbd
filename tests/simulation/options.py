"""The options of a run of the tests that say how many schedules are searched, and from which seed on."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.changes import have_changed

SIMULATED = (
    "tests/simulation",
    "zotpy/bucket",
    "zotpy/collector",
    "zotpy/concurrency.py",
    "zotpy/core",
    "zotpy/memory",
    "zotpy/registry",
    "zotpy/settings",
    "zotpy/store",
)
"""What the simulation runs, and itself: a change there is searched for long."""
SEEDS = 1 << 31
"""Seeds of a fresh search are drawn below it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addoption(
        "--long",
        action="store_true",
        help="search many schedules of the simulation, even if what it runs has not changed",
    )
    parser.addoption(
        "--simulation-seed", type=int, metavar="SEED", help="search schedules from this seed on, not from a fresh one"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Decide how long the search is, and draw its seed; the processes of pytest-xdist are told both."""
    if (told := getattr(config, "workerinput", None)) is not None:
        config.option.long, config.option.simulation_seed = told["simulation"]
        return
    config.option.long = config.option.long or have_changed(SIMULATED)
    if config.option.simulation_seed is None:
        config.option.simulation_seed = secrets.randbelow(SEEDS)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_configure_node(node: Any) -> None:
    """Tell a process how long the search is, and from which seed on."""
    node.workerinput["simulation"] = (node.config.option.long, node.config.option.simulation_seed)


def pytest_report_header(config: pytest.Config) -> str:
    """Say how to search the same schedules again."""
    long = "--long " if config.option.long else ""
    return f"schedules of the simulation: {long}--simulation-seed {config.option.simulation_seed}"
