"""What stands in the places of a request where clients write something: what belongs there, and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.blackbox.registry_api import digest_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

REPOSITORY = "fuzz/app"
BLOB = b"a blob that is there"
EMPTY = b"{}"
GOOD_DIGESTS = (digest_of(BLOB), digest_of(EMPTY), digest_of(BLOB, "sha512"))
UPLOAD = "@UPLOAD@"
"""Stands for the path and query of an upload that is begun before the request is sent."""
ODD = (
    *(
        "",
        ".",
        "..",
        "/",
        "//",
        "*",
        "-",
        "_",
        "~",
        "a",
        "A",
        "a b",
        "a//b",
        "a/../b",
        "./a",
        "a/",
        "&",
        "=",
        ";",
        "?",
        "#",
    ),
    *(
        "%",
        "%2",
        "%zz",
        "%00",
        "%0a",
        "%0D%0A",
        "%20",
        "%2F",
        "%2f..%2f",
        "%2e%2e",
        "%25",
        "%C3%A4",
        "%ED%A0%80",
        "%FF",
    ),
    *("0", "-0", "-1", "+1", "1.5", "1e9", "0x10", "00", "9" * 10, "9" * 19, "9" * 30, "9" * 5000, "%C2%B2", "%D9%A3"),
    *("true", "null", "nan", "inf", "None", "[]", "{}", "'", '"', "\\", "<b>", "${x}", "{0}", "%s", "%(a)s", "\x7f"),
    *("latest", "v1", "v" * 128, "v" * 129, "tags", "list", "blobs", "uploads", "manifests", "referrers", "_catalog"),
    *("sha256:", "sha256:abc", "sha256:" + "0" * 64, "sha256:" + "A" * 64, "sha256:" + "g" * 64, "sha256:" + "0" * 65),
    *("sha512:" + "0" * 128, "SHA256:" + "0" * 64, "md5:" + "0" * 32, ":" + "0" * 64, "a:b:c", "x" * 300, "x" * 8000),
)
METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")
ODD_METHODS = ("OPTIONS", "TRACE", "get", "Put", "PROPFIND", "PRI", "X", "M" * 500, "!#$%&'*+-.^_`|~")
MEDIA_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/octet-stream",
    "application/json; charset=utf-16",
    "text/html",
)
RANGES = (
    *(
        "bytes=0-",
        "bytes=0-0",
        "bytes=-1",
        "bytes=5-3",
        "bytes=99-",
        "bytes=0-99",
        "bytes=0-3,5-6",
        "bytes=0-3,",
        "bytes=",
    ),
    *(
        "bytes=-",
        "bytes=a-b",
        "0-3",
        "items=0-3",
        "bytes=" + ",".join(["0-0"] * 500),
        "bytes=0-" + "9" * 30,
        "bytes 0-19/20",
    ),
    *("0-19", "1-20", "20-0", "0-" + "9" * 19, "bytes */20", "-1-5"),
)
TAGS = (
    "*",
    '"x"',
    'W/"x"',
    "x",
    '"',
    ",",
    f'"{GOOD_DIGESTS[0]}"',
    f'W/"{GOOD_DIGESTS[1]}", "y"',
    '"a" "b"',
    " " * 500 + '"',
)
HEADERS: dict[str, Sequence[str]] = {
    "Content-Type": MEDIA_TYPES,
    "Accept": ("*/*", "text/html", ";;q=x", ",".join(["a/b;q=0.1"] * 300), *MEDIA_TYPES),
    "Range": RANGES,
    "Content-Range": RANGES,
    "If-Range": TAGS,
    "If-Match": TAGS,
    "If-None-Match": TAGS,
    "If-Modified-Since": ("Sat, 29 Oct 1994 19:43:31 GMT", "yesterday"),
    "Expect": ("100-continue", "200-ok"),
    "Connection": ("close", "keep-alive", "upgrade", "close, close", "host"),
    "Upgrade": ("h2c", "websocket", "TLS/1.0"),
    "Authorization": ("Basic Zm9vOmJhcg==", "Bearer x", "Basic !!!", "Negotiate"),
    "Cookie": ("a=b", "=", ";" * 300),
    "X-Forwarded-For": ("1.2.3.4", ",".join(["::1"] * 100), "x"),
    "X-Forwarded-Prefix": ("/a", "//evil", "/v2/team"),
    "X-Forwarded-Host": ("evil.example", "a b"),
    "Forwarded": ("for=1.2.3.4;host=x", 'for="[::1', ";" * 500),
    "Accept-Encoding": ("gzip", "br;q=1.0, *;q=0"),
    "Content-Encoding": ("gzip", "x"),
    "Date": ("x",),
    "TE": ("trailers",),
    "X-Long": ("x" * 4000,),
    "X-Bytes": ("\x80\xff", "é"),
}
QUERIES = (
    "digest",
    "mount",
    "from",
    "digest-algorithm",
    "_state",
    "n",
    "last",
    "artifactType",
    "tag",
    "ns",
    "",
    "x" * 300,
)
HOSTS = ("localhost", "localhost:5000", "[::1]:5000", "", "a b", "<x>", "x" * 300, "user@host", "host:99999")


def mostly(rng: random.Random, good: Callable[[], str], share: float = 0.75) -> str:
    """Return what belongs there in this share of all cases."""
    return good() if rng.random() < share else rng.choice(ODD)


def name(rng: random.Random) -> str:
    """Return the name of a repository."""
    return mostly(rng, lambda: rng.choice((REPOSITORY, "fuzz/other", "fuzz/absent", "a")), 0.85)


def digest(rng: random.Random) -> str:
    """Return a digest."""
    return mostly(rng, lambda: rng.choice((*GOOD_DIGESTS, f"sha256:{'0' * 64}")))


def reference(rng: random.Random) -> str:
    """Return a tag or a digest."""
    return rng.choice((digest(rng), mostly(rng, lambda: rng.choice(("v1", "v2", "absent")))))


def query(rng: random.Random) -> str:
    """Return a query, with its question mark; mostly none."""
    if rng.random() < 0.5:
        return ""
    pairs = []
    for _ in range(rng.choice((1, 1, 1, 2, 3, 30))):
        key = rng.choice(QUERIES)
        value = rng.choice((digest(rng), name(rng), reference(rng), rng.choice(ODD), str(rng.randrange(-2, 2000))))
        pairs.append(f"{key}={value}" if rng.random() < 0.95 else key)
    return "?" + "&".join(pairs)


def target(rng: random.Random, method: str) -> str:
    """Return the target of a request: mostly an endpoint's, mostly one that takes the method."""
    repo = name(rng)
    uploads = {"PATCH": 1.0, "PUT": 0.5, "GET": 0.1, "DELETE": 0.2}.get(method, 0.05)
    if rng.random() < uploads:
        more = f"&digest={digest(rng)}" if method == "PUT" and rng.random() < 0.9 else ""
        return UPLOAD + more if rng.random() < 0.8 else f"/v2/{repo}/blobs/uploads/{rng.choice(ODD)}{query(rng)}"
    if method == "POST" and rng.random() < 0.8:
        return f"/v2/{repo}/blobs/uploads/{query(rng)}"
    path = rng.choice(
        (
            *(f"/v2/{repo}/manifests/{reference(rng)}", f"/v2/{repo}/blobs/{digest(rng)}", f"/v2/{repo}/tags/list"),
            *(
                f"/v2/{repo}/referrers/{digest(rng)}",
                "/v2/_catalog",
                "/v2/",
                "/v2",
                "/",
                "/livez",
                "/metrics",
                "/readyz",
            ),
            *(f"/v2/{rng.choice(ODD)}", f"/{rng.choice(ODD)}", rng.choice(ODD) or "*"),
            *(
                f"http://host/v2/{repo}/tags/list",
                f"https://a%2fb/v2/{repo}/tags/list",
                f"ftp://{rng.choice(ODD)}/v2/",
                "host:80",
            ),
        )
    )
    return path + query(rng)
