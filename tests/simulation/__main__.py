"""Run one schedule by its seed, or many: `python -m tests.simulation --seed 7`."""

import argparse
import sys
import time
import traceback

from tests.simulation.schedule import Schedule

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int)
parser.add_argument("--count", type=int, default=1)
args = parser.parse_args()
start = time.process_time()
calls = 0
failed = []
for seed in range(args.seed, args.seed + args.count):
    schedule = Schedule(seed)
    try:
        schedule.run()
    except BaseException:
        failed.append(seed)
        if args.count == 1:
            print(schedule.trace())
        if len(failed) < 4:
            traceback.print_exc(limit=-6)
    calls += len(schedule.scheduler.trace)
print(failed[:20], len(failed), args.count, calls / args.count, (time.process_time() - start) / args.count * 1000, "ms")
