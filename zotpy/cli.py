"""The commands: from arguments to settings, and a process's exit code.

A command is one function that takes its parsed arguments and returns an exit code; `_parser` names it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from zotpy.commands.access import add_access
from zotpy.commands.du import add_du
from zotpy.commands.export import add_export
from zotpy.commands.fsck import add_fsck
from zotpy.commands.gc import add_gc
from zotpy.commands.import_ import add_import
from zotpy.commands.sync import add_sync
from zotpy.commands.upstream_logins import with_upstream_logins
from zotpy.commands.users_file import remarks_on_users
from zotpy.config import ConfigError, load_settings
from zotpy.libraries import LibraryChanged
from zotpy.settings import Settings

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
EXIT_INTERRUPTED = 130
"""As a shell reports SIGINT: Ctrl-C came before the replica served, so nothing had to be drained."""

_EXAMPLES = """examples:
  zotpy serve                           run a registry on 127.0.0.1:5000 with its own store on this disk
  zotpy serve --port 6000 --root /srv/registry
  zotpy serve -c /etc/zotpy/config.yaml run a replica on the bucket that the file names; -c may be left out
  zotpy serve --workers auto            run one process for each CPU, all on the same port
  zotpy verify -c config.json           print every mistake in a file
  zotpy access -c config.json --user alice --repo team/app --action update
                                        show which rule lets alice do that, or that none does
  zotpy gc -c /etc/zotpy/config.yaml    collect garbage while replicas serve
  zotpy du -c /etc/zotpy/config.yaml    show how much space each repository uses
  zotpy fsck --repair --read all        check everything, and rebuild what can be rebuilt
  zotpy import -c /etc/zotpy/config.yaml old-registry.example:5000
                                        copy what another registry has and this one has not
  zotpy export -c /etc/zotpy/config.yaml team/app --to oci-archive:app.tar
                                        write a repository into a file, for a machine without a network
  zotpy sync -c /etc/zotpy/config.yaml  copy what is new in the registries of extensions.sync with a pollInterval

exit codes: 0 done, 1 failed, 2 wrong arguments or configuration, 130 stopped by Ctrl-C
"""
_SERVE = """Run a replica until SIGTERM or Ctrl-C. The replica then finishes the requests under way and ends.

Without a file the registry listens on 127.0.0.1:5000 and keeps its data in its own store on this disk.
Each setting can also be given by an environment variable: http.port by ZOTPY_HTTP_PORT. Flags override variables, and
variables override the file.
"""
_VERIFY = """Check a configuration as `serve` would read it, with its environment variables, and print every mistake.

The command starts nothing and sends nothing to the store.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 done, 1 failed, 2 wrong arguments or configuration, 130 Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except LibraryChanged as error:
        _complain(str(error))
        return EXIT_FAILED
    except ConfigError as error:
        for problem in error.problems:
            _complain(problem)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _serve(options: argparse.Namespace) -> int:
    flags = {
        "http.address": options.address,
        "http.port": options.port,
        "http.workers": options.workers,
        "storage.rootDirectory": options.root,
    }
    given = {path: text for path, text in flags.items() if text is not None}
    settings = with_upstream_logins(load_settings(_file(options), overrides=given))
    from zotpy.serving import run  # noqa: PLC0415 - most of a start, which `verify` and `--help` do without

    if why := run(settings):
        _complain(why)
        return EXIT_FAILED
    return EXIT_OK


def _verify(options: argparse.Namespace) -> int:
    file = _file(options)
    settings = with_upstream_logins(load_settings(file))
    for warning in (*settings.warnings, *remarks_on_users(settings)):
        _say(f"warning: {warning}")
    _say(f"{file} is good: {_summary(settings)}")
    return EXIT_OK


def _file(options: argparse.Namespace) -> Path | None:
    """Return the file that was named, by `-c` or in zot's form. Raises `ConfigError`."""
    named: list[Path] = [file for file in (options.config, options.file) if file is not None]
    if len(named) > 1:
        raise ConfigError([f"two files are given, {named[0]} and {named[1]}: name one of them"])
    return named[0] if named else None


def _summary(settings: Settings) -> str:
    """Say in a few words what the replica would do."""
    listens = f"listens on {settings.http.address} port {settings.http.port}"
    if settings.http.workers > 1:
        listens += f" with {settings.http.workers} workers"
    s3 = settings.storage.s3
    if s3 is None:
        return f"{listens}, keeps its data in {settings.storage.root_directory}"
    prefix = f", below {s3.root_directory}/" if s3.root_directory else ""
    return f"{listens}, keeps its data in the bucket {s3.bucket} at {s3.endpoint or f'AWS, {s3.region}'}{prefix}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zotpy",
        description="An OCI registry of identical, stateless replicas on one S3 bucket.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="print the version and the commit that it was built from")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    raw = argparse.RawDescriptionHelpFormatter

    serve = commands.add_parser("serve", help="run a replica", description=_SERVE, formatter_class=raw)
    serve.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the same as -c FILE; zot has this form too")
    serve.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="the configuration: YAML or JSON, with zot's names"
    )
    serve.add_argument("--address", metavar="A", help="the address to listen on: http.address (default 127.0.0.1)")
    serve.add_argument("--port", metavar="P", help="0 to 65535: http.port (default 5000; 0 means any free port)")
    serve.add_argument("--workers", metavar="N", help="number of processes, 1 to 64 or auto: http.workers (default 1)")
    serve.add_argument(
        "--root", metavar="DIR", help="the data directory of the store on this disk: storage.rootDirectory"
    )
    serve.set_defaults(run=_serve)

    verify = commands.add_parser("verify", help="check a configuration", description=_VERIFY, formatter_class=raw)
    named = verify.add_mutually_exclusive_group(required=True)
    named.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the same as -c FILE; zot has this form too")
    named.add_argument("-c", "--config", type=Path, metavar="FILE", help="the configuration: YAML or JSON")
    verify.set_defaults(run=_verify)

    add_access(commands)
    add_gc(commands)
    add_du(commands)
    add_fsck(commands)
    add_import(commands)
    add_export(commands)
    add_sync(commands)
    return parser


class _Version(argparse.Action):
    """Prints version and commit: looked up if asked for, as a checkout asks git."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002 - argparse's name
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        del namespace, values, option_string
        from zotpy.release import commit, version  # noqa: PLC0415 - no other command needs it here

        _say(f"zotpy {version()} (commit {commit()})")
        parser.exit()


def _say(text: str) -> None:
    print(text)  # noqa: T201 - said to the person at the terminal


def _complain(text: str) -> None:
    print(f"zotpy: {text}", file=sys.stderr)  # noqa: T201 - the same
