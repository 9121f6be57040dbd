"""Arguments that several commands have."""

import argparse
from pathlib import Path


def add_bucket_arguments(parser: argparse.ArgumentParser) -> None:
    """Add those that say where the bucket is."""
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="the configuration of the replicas")
    parser.add_argument(
        "--root", metavar="DIR", help="the data directory of the store on this disk: storage.rootDirectory"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
