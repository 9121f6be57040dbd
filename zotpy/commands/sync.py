"""`zotpy sync`: copies what is new in the registries of `extensions.sync`."""

import argparse
from typing import TYPE_CHECKING

from zotpy.commands.arguments import add_bucket_arguments

if TYPE_CHECKING:
    from zotpy.settings import Settings
    from zotpy.syncing.jobs import Job

_DESCRIPTION = """Copy what is new in other registries, while replicas serve.

Copies from each registry of extensions.sync.registries that has a pollInterval. The setting content says which
repositories and tags are copied, and their names in this registry. Signatures and other referrers are copied as well.
The source must list its repositories, unless each prefix is a full name without stars.

Tags follow the source: if a tag names another image there, the next run copies that image. A tag that a client has
pushed to this registry stays as it is. If the source deletes something, the copy stays. You can stop the command at any
moment with SIGTERM or Ctrl-C: it says what it has copied, and the next run copies the rest.

Run it with --due every few minutes from a timer or a CronJob. It then copies from each registry once in its
pollInterval, also if several hosts run it.

exit codes: 0 everything is here, 1 something could not be copied, 2 wrong arguments or configuration,
130 stopped by Ctrl-C, 143 stopped by SIGTERM
"""


def add_sync(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "sync", help="copy what is new in mirrored registries", description=_DESCRIPTION, formatter_class=raw
    )
    add_bucket_arguments(parser)
    parser.add_argument(
        "--registry",
        metavar="URL",
        action="append",
        default=[],
        help="copy only this registry, even without a pollInterval: one of its addresses, or its place in the list,"
        " from 0; repeatable",
    )
    parser.add_argument(
        "--due",
        action="store_true",
        help="copy only registries whose last run failed, or ended at least a pollInterval ago",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from zotpy.commands.copying import copy  # noqa: PLC0415 - what `--help` does without
    from zotpy.commands.shared import complain  # noqa: PLC0415 - the same
    from zotpy.syncing.jobs import plan  # noqa: PLC0415 - the same

    def jobs(settings: "Settings") -> "list[Job]":
        found = plan(settings.mirror, options.registry, only_due=options.due)
        if not found:
            complain("nothing to copy: no registry of extensions.sync has a pollInterval")
        return found

    return copy(options, jobs, goes_on=True)
