"""`zotpy fsck`: whether everything that the registry says it has exists and is right."""

import argparse
import json
import re
from functools import partial
from typing import TYPE_CHECKING

from zotpy.commands.arguments import add_bucket_arguments

if TYPE_CHECKING:
    from zotpy.inspection.report import Report
    from zotpy.settings import Settings

_DESCRIPTION = """Check the whole registry, while replicas serve.

The command checks that
- every record can be read, and everything that manifests need exists;
- small blobs, manifests and tags have the digests by which clients ask for them;
- large blobs have their length. It reads a share of them whole.

--repair rebuilds what can be rebuilt: entries from leases, leases from entries, tags from manifests, markers,
referrers and the catalog. The command never deletes anything that holds content. Give it the configuration of the
replicas: it passes over objects younger than gcSettings.deadline, because their requests may not be finished.

With --restored the command is for a bucket that was filled from a backup, before any replica or collector uses it. The
objects of a copy have other times than the originals. Until this command puts them right, no replica serves them.

exit codes: 0 everything is right or was repaired, 1 something is wrong or the store failed, 2 wrong arguments or
configuration
"""

_LATE = """{} records count for nothing, since the bucket dates them later than they say. If this bucket was filled
from a backup, stop everything that uses it, and run: zotpy fsck --restored (docs/backup.md)"""


def add_fsck(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "fsck", help="check everything that is stored", description=_DESCRIPTION, formatter_class=raw
    )
    add_bucket_arguments(parser)
    parser.add_argument("--repair", action="store_true", help="rebuild what can be rebuilt")
    parser.add_argument(
        "--restored",
        action="store_true",
        help="the bucket was filled from a backup and nothing uses it yet: first make what it holds count",
    )
    parser.add_argument(
        "--read",
        metavar="SHARE",
        type=_share,
        default=0.01,
        help="the share of large blobs to read whole: a percentage such as 5%%, all or none (default 1%%)",
    )
    parser.set_defaults(run=_run)


def _share(text: str) -> float:
    """Read a share; for argparse, which reports what is wrong."""
    if text in {"all", "none"}:
        return float(text == "all")
    percentage = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)%", text)
    if percentage is None or float(percentage[1]) > 100:  # noqa: PLR2004 - per cent
        msg = f"{text!r} is not a share: write a percentage such as 5%, or all, or none"
        raise argparse.ArgumentTypeError(msg)
    return float(percentage[1]) / 100


def _run(options: argparse.Namespace) -> int:
    from zotpy.commands.shared import look_at_bucket, read_settings, size  # noqa: PLC0415 - what `--help` does without
    from zotpy.inspection.report import Report  # noqa: PLC0415 - the same

    settings = read_settings(options, {})
    report = Report()
    done = None
    try:
        check = partial(_check, repair=options.repair, share_read=options.read, restored=options.restored)
        done = look_at_bucket(partial(check, settings, report))
    finally:  # what was found, and repaired, before the store failed or the user pressed Ctrl-C
        if not options.json:
            for problem in report.problems:
                print(problem)  # noqa: T201 - said to the person at the terminal
    if done is None:
        return 1
    if options.json:
        print(json.dumps(report.as_dict(), indent=2))  # noqa: T201 - the same
    else:
        looked_at = f"{report.repositories} repositories, {report.manifests} manifests, {report.blobs} blobs"
        print(f"{looked_at}, {report.tags} tags, {size(report.bytes_read)} of large blobs read")  # noqa: T201 - the same
        if report.restored:
            print(f"{report.restored} objects of the copy were made to count")  # noqa: T201 - the same
        if report.late:
            print(_LATE.format(report.late))  # noqa: T201 - the same
        if report.data_unnamed:
            unnamed = f"{report.data_unnamed} data objects ({size(report.data_unnamed_bytes)})"
            print(f"{unnamed} are named by nothing: zotpy gc deletes them")  # noqa: T201 - the same
        print(f"{len(report.problems)} problems, {len(report.left)} left")  # noqa: T201 - the same
    return 1 if report.left else 0


async def _check(
    settings: "Settings", report: "Report", *, repair: bool, share_read: float, restored: bool
) -> "Report":
    from zotpy.commands.shared import Watched, open_bucket  # noqa: PLC0415
    from zotpy.inspection.checking import Checker  # noqa: PLC0415

    async with open_bucket(settings) as store:
        with Watched() as watched:
            advance = watched.begin("registry")
            return await Checker(store, repair, share_read, restored, advance, settings, report).run()
