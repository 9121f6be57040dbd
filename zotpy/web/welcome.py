"""`GET /`: what answers here and how to push to it, as a page for a browser, otherwise as a few lines of text."""

import hashlib
from base64 import b64encode
from html import escape

from zotpy.http.server.response import Response
from zotpy.web.answers import Answer
from zotpy.web.call import Call

EXAMPLE_HOST = "registry.example.com"
"""Shown if a client does not say by which name it knows this host."""
_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;"
    "color:#1a1a1a;background:#fff}pre{background:#f2f2f2;padding:1rem;overflow-x:auto}"
)
_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Cache-Control": "no-cache",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
}
"""The page needs its one style. Nothing else may run, load or frame it."""


async def welcome(call: Call) -> Response:
    """GET and HEAD of `/`. What a client says of this host is shown as text, never as markup."""
    reached = call.request.reached
    origin = reached.origin or f"https://{EXAMPLE_HOST}"
    image = f"{reached.host or EXAMPLE_HOST}/{call.told('team/app')}:1.0"
    what = "zotpy is an OCI registry: it keeps container images, Helm charts and other artifacts."
    commands = f"docker tag app:1.0 {image}\ndocker push {image}\ndocker pull {image}"
    api = f"{origin}{call.path('/v2/')}"
    accepted = call.request.accept_mimetypes
    if accepted.quality("text/html") > accepted.quality("text/plain"):
        return Answer(_page(what, commands, api), 200, HEADERS, content_type="text/html; charset=utf-8")
    text = f"{what}\n\nPush an image, and pull it:\n\n{commands}\n\nThe API is at {api}\n"
    return Answer(text, 200, HEADERS, content_type="text/plain; charset=utf-8")


def _page(what: str, commands: str, api: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>zotpy registry</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>zotpy</h1>\n<p>{escape(what)}</p>\n"
        f"<p>Push an image, and pull it:</p>\n<pre><code>{escape(commands)}</code></pre>\n"
        f"<p>podman, skopeo, crane, oras, regctl and helm use the same names.</p>\n"
        f"<p>The API is at <code>{escape(api)}</code>.</p></body></html>\n"
    )
