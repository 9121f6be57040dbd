"""The commands: from arguments to settings, and a process's exit code."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from zotpy import __version__
from zotpy.config import ConfigError, Settings, load_settings
from zotpy.telemetry.logs import configure_logs

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
_EXAMPLES = """examples:
  zotpy serve                        a registry on 127.0.0.1:5000 with a store of its own on this disk
  zotpy serve --port 6000 --root /srv/registry
  zotpy serve -c /etc/zotpy.json     a replica on the bucket that the file names
  zotpy verify -c /etc/zotpy.json    check the file, and say everything that is wrong with it
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 done, 1 failed, 2 wrong arguments or configuration."""
    options = _parser().parse_args(arguments)
    try:
        settings = _settings(options)
    except ConfigError as error:
        for problem in error.problems:
            print(f"zotpy: {problem}", file=sys.stderr)  # noqa: T201 - said to the person at the terminal
        return EXIT_USAGE
    if options.command == "verify":
        for warning in settings.warnings:
            print(f"warning: {warning}")  # noqa: T201
        print(f"{options.config}: ok")  # noqa: T201
        return EXIT_OK
    return _serve(settings)


def _serve(settings: Settings) -> int:
    from zotpy.server import StartupError, serve  # noqa: PLC0415 - `verify` and `--help` do without

    configure_logs(settings.log.level, settings.log.format, settings.log.output)
    try:
        trio.run(partial(serve, settings))
    except StartupError as error:
        print(f"zotpy: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_OK
    return EXIT_OK


def _settings(options: argparse.Namespace) -> Settings:
    """Load the configuration, and let the command line have the last word."""
    settings = load_settings(options.config)
    if options.command != "serve":
        return settings
    http = dataclasses.replace(
        settings.http, address=options.address or settings.http.address, port=options.port or settings.http.port
    )
    storage = settings.storage
    if options.root is not None:
        storage = dataclasses.replace(storage, root_directory=options.root)
    log = settings.log
    if options.config is None and sys.stderr.isatty():
        log = dataclasses.replace(log, format="console")
    return dataclasses.replace(settings, http=http, storage=storage, log=log)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zotpy",
        description="An OCI registry of identical, stateless replicas on one S3 bucket.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"zotpy {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run a replica until SIGTERM", description="Run a replica.")
    serve.add_argument("-c", "--config", type=Path, metavar="FILE", help="YAML or JSON; zot's names where it has them")
    serve.add_argument("--address", help="where to listen (default 127.0.0.1)")
    serve.add_argument("--port", type=_port, help="1 to 65535 (default 5000)")
    serve.add_argument("--root", type=Path, metavar="DIR", help="data of the embedded store, where no S3 is configured")
    verify = commands.add_parser("verify", help="check a configuration file")
    verify.add_argument("-c", "--config", type=Path, metavar="FILE", required=True)
    return parser


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:  # noqa: PLR2004 - TCP's ports
        msg = f"{text!r} is not a port"
        raise argparse.ArgumentTypeError(msg)
    return int(text)
