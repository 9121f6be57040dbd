"""`zotpy import`: copies repositories of another registry, or of OCI layouts, into the bucket."""

import argparse
import re
from functools import partial
from pathlib import Path

from zotpy.commands.arguments import add_bucket_arguments

_DESCRIPTION = """Copy repositories into the registry, while its replicas serve and the source may change.

A source is
  HOST[:PORT][/REPOSITORY]  a registry; write http:// before it if it has no TLS. Without a repository, all are copied.
                            A repository may be a pattern, such as team/**.
  oci:DIR                   an OCI layout; name its repository with --as
  oci-archive:FILE          a tar of an OCI layout; the same
  zot:DIR                   zot's data directory: storage.rootDirectory of its configuration
  zot:FILE                  zot's configuration; its directory or bucket is read

Digests stay the same. Signatures and other referrers are copied as well. Run the command again to copy what is new: it
asks for the digest of each tag, and reads nothing that was already copied. So run it while the old registry is used.
Run it a last time when nobody pushes there any more, and switch over. You can stop the command at any moment with
SIGTERM or Ctrl-C: it says what it has copied, and the next run copies the rest.

Logins come from --username and --password-file, from --credentials-file, or from docker's config.json. Some registries
list only public repositories without a login. If nothing is found, the command says what to do.

exit codes: 0 everything is here, 1 something could not be copied, 2 wrong arguments or configuration,
130 stopped by Ctrl-C, 143 stopped by SIGTERM
"""


def add_import(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "import", help="copy repositories of another registry", description=_DESCRIPTION, formatter_class=raw
    )
    parser.add_argument("source", nargs="+", metavar="SOURCE", help="what to copy")
    add_bucket_arguments(parser)
    what = parser.add_argument_group("what is copied")
    what.add_argument(
        "--exclude",
        metavar="NAME",
        action="append",
        default=[],
        help="leave this repository out of a list, also as a pattern such as cache/**; repeatable",
    )
    what.add_argument("--tags", metavar="GLOB", action="append", default=[], help="only tags such as v1.*; repeatable")
    what.add_argument(
        "--tags-regex", metavar="REGEX", action="append", default=[], help="only tags that match as a whole; repeatable"
    )
    what.add_argument(
        "--exclude-tags-regex", metavar="REGEX", action="append", default=[], help="no tags that match; repeatable"
    )
    what.add_argument("--no-referrers", action="store_true", help="leave out signatures and other referrers")
    what.add_argument("--destination", metavar="NAME", default="", help="put NAME/ before the names of repositories")
    what.add_argument("--as", dest="name", metavar="REPOSITORY", default="", help="the repository of an OCI layout")
    how = parser.add_argument_group("how the source is asked")
    how.add_argument("--username", metavar="NAME", default="", help="the login at the source")
    how.add_argument("--password-file", metavar="FILE", type=Path, help="its password, the first line of this file")
    how.add_argument(
        "--credentials-file", metavar="FILE", type=Path, help="logins by host, as zot's extensions.sync.credentialsFile"
    )
    how.add_argument("--cert-dir", metavar="DIR", type=Path, help="certificates, as docker's certs.d/HOST")
    how.add_argument("--no-tls-verify", action="store_true", help="accept any certificate of the source")
    how.add_argument("--at-once", metavar="N", type=_count, default=8, help="requests at once, 1 to 64 (default 8)")
    how.add_argument("--rate", metavar="N", type=_rate, help="requests that begin in a second at most")
    how.add_argument(
        "--retries", metavar="N", type=_retries, default=5, help="repetitions if the source fails (default 5)"
    )
    parser.set_defaults(run=_run)


def _count(text: str) -> int:
    return _number(text, 1, 64)


def _retries(text: str) -> int:
    return _number(text, 0, 100)


def _number(text: str, least: int, most: int) -> int:
    if re.fullmatch(r"[0-9]{1,9}", text) and least <= int(text) <= most:
        return int(text)
    msg = f"{text!r} is not a number from {least} to {most}"
    raise argparse.ArgumentTypeError(msg)


def _rate(text: str) -> float:
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) and float(text) > 0:
        return float(text)
    msg = f"{text!r} is not a number of requests in a second, such as 10 or 0.5"
    raise argparse.ArgumentTypeError(msg)


def _run(options: argparse.Namespace) -> int:
    from zotpy.commands.copying import copy  # noqa: PLC0415 - what `--help` does without
    from zotpy.importing.jobs import plan  # noqa: PLC0415 - the same

    return copy(options, partial(plan, options), goes_on=False)
