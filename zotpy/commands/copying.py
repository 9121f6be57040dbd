"""What `zotpy import` and `zotpy sync` do alike: copy into the bucket, and say at the end what was copied."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial

from zotpy.auth.grants import Grants
from zotpy.commands.progress import shown
from zotpy.commands.running import run_told
from zotpy.commands.shared import complain, noting, read_settings, size
from zotpy.config import ConfigError
from zotpy.importing.run import Job, Run
from zotpy.importing.tally import Tally
from zotpy.importing.target import open_target
from zotpy.settings import Settings


def copy(options: Namespace, plan: Callable[[Settings], Sequence[Job]], *, goes_on: bool) -> int:
    """Do the jobs that `plan` finds, and return the exit code. `goes_on`: a source that fails holds up no other.

    Raises `ConfigError`, also in place of a `ValueError` of `plan`, and what `run_told` raises.
    """
    settings = read_settings(options, {})
    try:
        jobs = plan(settings)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    tally = Tally()
    fail = noting(tally.failures)
    run = Run(jobs, Grants(settings.http.access).is_immutable, tally, fail, goes_on)
    if not jobs:
        _tell(tally, as_json=options.json)
        return 0
    next_step = "run it again, and it copies what is still missing"
    work, tell = partial(_copy, settings, run), partial(_tell, tally, as_json=options.json)
    done, stopped = run_told(work, lambda _: tell(), fail, next_step)
    return stopped or (0 if done and not tally.problems else 1)


async def _copy(settings: Settings, run: Run) -> bool:
    async with open_target(settings) as registry:
        return await shown(run.tally, partial(run.copy, registry))


def _tell(tally: Tally, *, as_json: bool) -> None:
    """Print what was copied, and what could not be."""
    if as_json:
        print(json.dumps(tally.as_dict(), indent=2))  # noqa: T201 - said at the terminal
        return
    for hint in tally.hints:
        complain(hint)
    for problem in tally.problems:
        print(f"not copied: {problem}", file=sys.stderr)  # noqa: T201 - the same
    if tally.problems_unnamed:
        print(f"not copied: {tally.problems_unnamed} more", file=sys.stderr)  # noqa: T201 - the same
    tags = f"{tally.tags_copied} tags copied, {tally.tags_unchanged} unchanged"
    tags += f", {tally.tags_kept} kept that were pushed here" if tally.tags_kept else ""
    tags += f", {tally.tags_unsigned} without a signature left out" if tally.tags_unsigned else ""
    blobs = f"{tally.blobs_copied} blobs ({size(tally.bytes_copied)})"
    print(f"{tally.repositories} repositories, {tags}")  # noqa: T201 - the same
    print(f"{tally.manifests_copied} manifests, {tally.referrers_copied} referrers and {blobs} copied")  # noqa: T201
