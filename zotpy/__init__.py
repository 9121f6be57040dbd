"""zotpy: an OCI distribution registry of identical, stateless replicas on one S3 bucket."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("zotpy")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"
