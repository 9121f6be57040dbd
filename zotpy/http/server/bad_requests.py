"""Why bytes of a client are refused that no handler sees."""

from zotpy.http.chunks import LEAST_CHUNK_BYTES
from zotpy.http.server.envelope import envelope
from zotpy.http.server.response import Response

_REFUSALS = {
    400: "this is no request of HTTP/1.1, or its body is cut into chunks wrongly, or into thousands of chunks below "
    f"{LEAST_CHUNK_BYTES} bytes: send longer ones, or a Content-Length",
    431: "the request's head is too long: send fewer or shorter headers",
    501: "the body has a Transfer-Encoding other than chunked",
}


def reason_of(status: int) -> str:
    """Say what is wrong; `status` is h11's: 400, 431 or 501."""
    return _REFUSALS.get(status, _REFUSALS[400])


def refusal(status: int) -> Response:
    """Refuse a body that is none."""
    return envelope(status, ("UNSUPPORTED", reason_of(status), None))
