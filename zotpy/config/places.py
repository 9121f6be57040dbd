"""The places in a configuration: where to listen, the service and its bucket, and whose networks are trusted.

A reader returns the value or raises `ValueError` with what to write instead.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from zotpy.config.values import read_optional_text, read_text

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_HOST = re.compile(r"(?!-)[A-Za-z0-9._-]{1,253}", re.ASCII)


def read_address(value: object) -> str:
    """Read the address to listen on: an IP address or a host name, without brackets."""
    text = read_text(value).removeprefix("[").removesuffix("]")
    if not _HOST.fullmatch(text) and not _is_address(text):
        msg = f"{text!r} is not an address: write one such as 127.0.0.1, or 0.0.0.0 to listen everywhere"
        raise ValueError(msg)
    return text


def is_here(host: str) -> bool:
    """Say whether a host, by its name or address, is this machine itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def read_endpoint(value: object) -> str | None:
    """Read the URL of a service, or `host:port` without a scheme."""
    text = read_optional_text(value)
    if text is None:
        return None
    url = urlsplit(text if "://" in text else f"//{text}")
    unwanted = url.query or url.fragment or url.username is not None
    if url.scheme not in {"", "http", "https"} or not url.hostname or unwanted or url.port == 0:
        msg = "write a URL such as https://s3.example.com:9000, or host:port"
        raise ValueError(msg)
    return text.rstrip("/")


def read_origin(value: object) -> str:
    """Read the URL by which clients reach the registry, perhaps with a path."""
    text = read_optional_text(value)
    if text is None:
        return ""
    url = urlsplit(text)
    unwanted = url.query or url.fragment or url.username is not None or not text.isascii() or not text.isprintable()
    if url.scheme not in {"http", "https"} or not url.hostname or unwanted or " " in text:
        msg = "write the URL by which clients reach this registry, such as https://registry.example.com"
        raise ValueError(msg)
    return text.rstrip("/")


def read_bucket(value: object) -> str:
    """Read the name of a bucket, or the ARN of an access point, which alone has slashes."""
    text = read_text(value)
    if "/" in text and not text.startswith("arn:"):
        msg = f"{text!r} is not the name of a bucket: write the name alone, and put a prefix of keys into rootdirectory"
        raise ValueError(msg)
    return text


def read_networks(value: object) -> tuple[Network, ...]:
    """Read a list of networks, such as `10.0.0.0/8`. One string gives them with commas."""
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        msg = "write a list of networks such as 10.0.0.0/8"
        raise ValueError(msg)
    return tuple(_network(item.strip()) for item in listed)


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        msg = f"{text!r} is not a network: write one such as 10.0.0.0/8, or an address"
        raise ValueError(msg) from error
    if network.network_address != ipaddress.ip_address(text.partition("/")[0]):
        msg = f"{text} is a network with host bits set: write {network}, or the address alone"
        raise ValueError(msg)
    return network
