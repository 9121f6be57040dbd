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
objects of a copy have other times than the originals. Until this command puts them right, no replica serves them. It
passes over nothing then, because no request is under way.

exit codes: 0 everything is right or was repaired, 1 something is wrong or the store failed, 2 wrong arguments or
configuration, 130 stopped by Ctrl-C, 143 stopped by SIGTERM; it then says what it has found
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
    from zotpy.commands.running import run_told  # noqa: PLC0415 - what `--help` does without
    from zotpy.commands.shared import noting, read_settings  # noqa: PLC0415 - the same

    settings = read_settings(options, {})
    failures: list[str] = []
    begun: list[Report] = []

    def tell(whole: "Report | None") -> None:
        for report in begun:
            if options.json:
                print(json.dumps(report.as_dict() | {"failures": failures}, indent=2))  # noqa: T201 - at the terminal
            else:
                print("\n".join(_told(report, is_whole=whole is not None)))  # noqa: T201 - the same

    check = partial(_check, repair=options.repair, share_read=options.read, restored=options.restored)
    report, stopped = run_told(
        partial(check, settings, begun), tell, noting(failures), "run it again, and it checks everything from the start"
    )
    return stopped or (1 if report is None or report.left else 0)


def _told(report: "Report", *, is_whole: bool) -> list[str]:
    """Say what was found, and repaired. `is_whole`: everything was checked."""
    from zotpy.commands.shared import size  # noqa: PLC0415

    looked_at = f"{report.repositories} repositories, {report.manifests} manifests, {report.blobs} blobs"
    lines = [str(problem) for problem in report.problems]
    lines.append(f"{looked_at}, {report.tags} tags, {size(report.bytes_read)} of large blobs read")
    if report.restored:
        lines.append(f"{report.restored} objects of the copy were made to count")
    if report.late:
        lines.append(_LATE.format(report.late))
    if report.data_unnamed:
        unnamed = f"{report.data_unnamed} data objects ({size(report.data_unnamed_bytes)})"
        lines.append(f"{unnamed} are named by nothing: zotpy gc deletes them")
    rest = "" if is_whole else "; not everything was checked"
    lines.append(f"{len(report.problems)} problems, {len(report.left)} left{rest}")
    return lines


async def _check(
    settings: "Settings", begun: "list[Report]", *, repair: bool, share_read: float, restored: bool
) -> "Report":
    """Check, and put into `begun` what grows meanwhile."""
    from zotpy.commands.shared import Watched, open_bucket  # noqa: PLC0415
    from zotpy.inspection.checking import Checker  # noqa: PLC0415
    from zotpy.inspection.report import Report  # noqa: PLC0415

    async with open_bucket(settings) as store:
        with Watched() as watched:
            advance = watched.begin("registry")
            begun.append(Report())
            return await Checker(store, repair, share_read, restored, advance, settings, begun[0]).run()
