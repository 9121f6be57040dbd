"""Copies that a killed replica left in the middle: their uploads, which another replica can go on with.

The pipeline saves the state of a long upload now and then. It has the parts that were sent and the state of the hash,
so no byte is fetched or hashed again but those after the last saving. The note beside a turn names the upload. It is a
hint: without it, or if the upload has gone, the copy begins anew.
"""

import re

from zotpy.core.errors import UploadUnknown
from zotpy.core.names import RepositoryName
from zotpy.core.upload_tokens import UploadToken
from zotpy.registry.pushing.sessions import Session
from zotpy.registry.pushing.uploads import Uploads

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def note_of(session: Session) -> str:
    """Write what another replica needs to go on with an upload."""
    return f"{session.repo.text} {session.token.upload_id}"


async def left_behind(uploads: Uploads, repo: RepositoryName, algorithm: str, note: str) -> Session | None:
    """Return the upload that a note names, if it is one of this repository and has saved bytes."""
    name, _, upload_id = note.partition(" ")
    if name != repo.text or not _ID.fullmatch(upload_id):
        return None
    try:
        session = await uploads.status(Session(repo, UploadToken(name, upload_id, algorithm, 0)))
    except UploadUnknown:
        return None
    return session if session.token.offset else None
