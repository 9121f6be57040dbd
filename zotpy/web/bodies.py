"""Bodies of requests that are read whole: manifests and forms."""

from collections.abc import Callable

from zotpy.core.errors import RegistryError
from zotpy.core.pieces import Pieces
from zotpy.core.ranges import parse_content_length
from zotpy.web.call import Call


async def read_whole(call: Call, limit_bytes: int, too_long: Callable[[], RegistryError]) -> bytes:
    """Read a body within a limit. The memory budget holds it until the request is answered.

    Raises what `too_long` returns, before the body is asked for if its length is known. Raises `TooManyRequests`.
    """
    length = parse_content_length(call.request.headers.get("Content-Length"))
    _require((length or 0) <= limit_bytes, too_long)
    budget = call.registry.budget
    call.body.account = account = call.hold()
    account.begin_part(limit_bytes if length is None else length)  # all of it is held before any of it is given back
    content = Pieces()
    try:
        async for piece in call.body:
            if not account.acquire_now(len(piece)):  # else, as mostly, no time limit is set
                with budget.patience():
                    await account.acquire(len(piece))
            content.append(piece)
            _require(len(content) <= limit_bytes, too_long)
        account.part_is_full()
        return bytes(content)
    except BaseException:
        account.close()
        raise
    finally:
        content.clear()  # an error on its way out still leads to it


def _require(fits: bool, too_long: Callable[[], RegistryError]) -> None:  # noqa: FBT001 - a statement, not a switch
    if not fits:
        raise too_long()
