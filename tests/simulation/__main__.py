"""Run schedules by hand: `python -m tests.simulation --seed 7`, `--count 1000`, `--without renewal`."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.many import first_failure, run_one
from tests.simulation.rules import RULES
from tests.simulation.schedule import Schedule
from tests.simulation.themes import THEMES


def main() -> int:
    """Run them. Print the trace of one, or of the first that fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first schedule")
    parser.add_argument("--count", type=int, default=1, help="how many, with seeds one after another")
    parser.add_argument("--theme", choices=sorted(THEMES), default="", help="what they are about, not drawn")
    parser.add_argument("--without", choices=sorted(RULES), default="", help="take this rule of the protocol out")
    arguments = parser.parse_args()
    if arguments.count == 1:
        failure = run_one(arguments.seed, arguments.theme, arguments.without)
        if failure is None:
            schedule = Schedule(arguments.seed, THEMES.get(arguments.theme))
            schedule.run()
            sys.stdout.write(schedule.trace() + "\n")
    else:
        seeds = range(arguments.seed, arguments.seed + arguments.count)
        failure = first_failure(seeds, arguments.theme, arguments.without)
    sys.stdout.write(f"{failure}\n" if failure else f"{arguments.count} schedules, all well\n")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
