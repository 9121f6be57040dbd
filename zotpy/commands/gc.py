"""`zotpy gc`: collects garbage once, while replicas serve."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zotpy.commands.arguments import add_bucket_arguments

if TYPE_CHECKING:
    from zotpy.collector import Expiration, Summary
    from zotpy.settings import Settings

_DESCRIPTION = """Collect garbage once, while replicas serve.

The command deletes what nothing has needed for the grace period: blobs that no manifest names, the rest of what
clients deleted, and abandoned uploads. It also deletes tags and manifests that storage.retention does not keep;
--dry-run lists each of them with the reason. It deletes the bytes of large blobs in two steps, so run it regularly, at
least four times in a grace period. Two collections at once do no harm. Give it the configuration of the replicas: the
grace must not be shorter than theirs.

exit codes: 0 done, 1 failed or could not read something, 2 wrong arguments or configuration,
130 stopped by Ctrl-C, 143 stopped by SIGTERM; it then says what it has deleted
"""


def add_gc(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "gc",
        help="collect garbage while replicas serve",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_bucket_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be deleted, and delete nothing")
    parser.add_argument(
        "--grace",
        metavar="T",
        help="a grace such as 48h, not shorter than gcSettings.grace (the default)",
    )
    parser.add_argument(
        "--rate", metavar="N", help="the most store calls a second: gcSettings.callsPerSecond (default 500)"
    )
    parser.add_argument(
        "--metrics-file",
        type=Path,
        metavar="FILE",
        help="write counts for node_exporter to this file, unless with --dry-run",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from zotpy.commands.running import run_told  # noqa: PLC0415 - what `--help` does without
    from zotpy.commands.shared import noting, read_settings  # noqa: PLC0415 - the same

    settings = read_settings(options, {"gcSettings.grace": options.grace, "gcSettings.callsPerSecond": options.rate})
    if options.grace is not None:
        _check_grace(options, settings)
    from zotpy.collecting import outside_window  # noqa: PLC0415 - the same

    if not options.dry_run and (closed := outside_window(settings.gc.time_window, datetime.now(UTC))):
        print(json.dumps({"skipped": closed}) if options.json else closed)  # noqa: T201 - said at the terminal
        return 0
    found: list[Expiration] = []
    failures: list[str] = []
    begun: list[Summary] = []

    def tell(_: "Summary | None") -> None:
        for summary in begun:
            lists = {"expirations": [asdict(each) for each in found], "failures": failures}
            result = json.dumps(summary.as_dict() | lists, indent=2)
            print(result if options.json else _told(summary, settings))  # noqa: T201 - said at the terminal

    work = partial(_collect, settings, found.append if options.json else print, begun, dry_run=options.dry_run)
    summary, stopped = run_told(work, tell, noting(failures), "run it again, and it collects the rest")
    if summary is None:
        return stopped or 1
    if options.metrics_file is not None and not summary.dry_run:
        try:
            _write_metrics(options.metrics_file, summary)
        except OSError as error:
            print(f"zotpy: {options.metrics_file}: {error.strerror}", file=sys.stderr)  # noqa: T201 - the same
            return 1
    return 1 if summary.problems else 0


def _check_grace(options: argparse.Namespace, settings: "Settings") -> None:
    """Raise `ConfigError` if the flag is shorter than the time for which replicas rely on what they have read."""
    from zotpy.config import ConfigError, load_settings  # noqa: PLC0415

    theirs_s = load_settings(options.config).gc.grace_s
    if settings.gc.grace_s < theirs_s:
        shorter = f"shorter than gcSettings.grace ({theirs_s:g}s), for which replicas rely on what they have read"
        advice = "shorten gcSettings.grace and restart all replicas first"
        raise ConfigError([f"--grace {options.grace}: {shorter}; {advice}"])


async def _collect(
    settings: "Settings", tell: Callable[[Any], None], begun: "list[Summary]", *, dry_run: bool
) -> "Summary":
    """Collect, and put into `begun` what counts meanwhile."""
    from zotpy.auth.grants import Grants  # noqa: PLC0415
    from zotpy.collecting import collector_settings  # noqa: PLC0415
    from zotpy.collector import Collector, Summary  # noqa: PLC0415
    from zotpy.commands.shared import Watched, open_bucket  # noqa: PLC0415

    numbers = replace(collector_settings(settings, Grants(settings.http.access).is_immutable), dry_run=dry_run)
    async with open_bucket(settings) as store:
        with Watched(tell) as watched:
            begun.append(Summary())
            return await Collector(store, numbers, watched).run(begun[0])


def _told(summary: "Summary", settings: "Settings") -> str:
    """Say in a few lines what was done."""
    from zotpy.commands.shared import size  # noqa: PLC0415
    from zotpy.config.remarks import raised  # noqa: PLC0415

    would = "would be deleted" if summary.dry_run else "deleted"
    looked_at = f"{summary.repositories} repositories, {summary.leases} leases, {summary.data_objects} data objects"
    data = f"{summary.data_deleted} data objects ({size(summary.data_deleted_bytes)})"
    lines = [
        f"{looked_at} checked",
        f"{data}, {summary.records_deleted} records, {summary.leases_deleted} leases {would}",
    ]
    others = {
        "uploads": summary.uploads_ended,
        "multiparts": summary.multiparts_aborted,
        "hints": summary.hints_deleted,
        "markers": summary.markers_deleted,
        "tags of deleted manifests": summary.tags_deleted,
        "referrers": summary.referrers_deleted,
        "empty repositories": summary.repositories_emptied,
    }
    if any(others.values()):
        lines.append(", ".join(f"{count} {what}" for what, count in others.items() if count) + f" {would}")
    if summary.tags_expired or summary.manifests_expired:
        expires = "would be deleted" if summary.dry_run or summary.retention_dry_run else "deleted"
        expired = f"{summary.tags_expired} tags, {summary.manifests_expired} manifests"
        lines.append(f"{expired} {expires} by storage.retention")
    if summary.manifests_held:
        lines.append(
            "manifests stay although storage.retention does not keep them: the store has no conditional writes"
        )
    if summary.data_retired:
        retired = f"{summary.data_retired} data objects ({size(summary.data_retired_bytes)})"
        due = f"from {2 * settings.gc.deadline_s:g} s on and within {settings.gc.grace_s:g} s"
        lines.append(f"{retired} are named by nothing: a collection that begins {due} from now deletes them")
    if summary.notes_void:
        lines.append(
            f"{summary.notes_void} data objects stay: nothing names them, but the collection that found this before"
            f" was more than {settings.gc.grace_s:g} s (gcSettings.grace) ago. Run zotpy gc at least four times in"
            " that time, or it never deletes their bytes"
        )
    lines += list(raised(settings.retention, settings.gc))
    lines += [f"not checked: {problem}" for problem in summary.problems]
    return "\n".join(lines)


def _write_metrics(file: Path, summary: "Summary") -> None:
    """Write what node_exporter's textfile collector reads."""
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile  # noqa: PLC0415

    registry = CollectorRegistry()
    for name, value in summary.as_dict().items():
        if isinstance(value, int) and not isinstance(value, bool):
            Gauge(f"zotpy_gc_{name}", f"{name.replace('_', ' ')}, of the last collection", registry=registry).set(value)
    Gauge("zotpy_gc_problems", "What the last collection could not check.", registry=registry).set(
        len(summary.problems)
    )
    Gauge("zotpy_gc_last_success_timestamp_seconds", "When it ended.", registry=registry).set_to_current_time()
    write_to_textfile(str(file), registry)
