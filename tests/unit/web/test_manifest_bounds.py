"""What one push of a manifest may ask for, over HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import h11
import trio.testing

from tests.unit.web.raw import connect
from tests.unit.web.serving import CONFIG, REPO, Replica, codes_of, digest_of, image
from tests.unit.web.test_cuts import ended
from zotpy.core.media_types import OCI_IMAGE
from zotpy.http.server.cuts import Cut
from zotpy.registry.pushing.manifest_push import LONG_LIST

if TYPE_CHECKING:
    import httpx

LONG = 200


async def push_tags(replica: Replica, count: int) -> httpx.Response:
    """Push an image with this many tags."""
    await replica.push_blob(CONFIG)
    content = image()
    return await replica.client.put(
        f"/v2/{REPO}/manifests/{digest_of(content)}",
        params=[("tag", f"v{number}") for number in range(count)],
        content=content,
        headers={"Content-Type": OCI_IMAGE},
    )


async def test_as_many_tags_as_the_limit_are_pushed_at_once(replica: Replica) -> None:
    """Each is named in the answer."""
    limit = replica.registry.settings.manifest.max_tags
    answer = await push_tags(replica, limit)
    assert answer.status_code == 201, answer.text
    assert len(answer.headers.get_list("OCI-Tag")) == limit >= 10


async def test_more_tags_than_the_limit_are_refused(replica: Replica) -> None:
    """Nothing was written, and the client is told to push again."""
    limit = replica.registry.settings.manifest.max_tags
    keys = set(replica.store.objects)
    answer = await push_tags(replica, limit + 1)
    assert answer.status_code == 400
    assert codes_of(answer) == ["TAG_INVALID"]
    assert f"{limit} are accepted" in answer.text
    assert not [key for key in set(replica.store.objects) - keys if "manifests" in key or "tags" in key]


async def test_a_client_that_leaves_while_its_references_are_looked_up_ends_that(replica: Replica) -> None:
    """No more store calls are made for it, and the request is reported as one whose client left."""
    descriptors = [{"mediaType": "a/b", "digest": digest_of(b"%d" % number), "size": 1} for number in range(LONG)]
    document = {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": descriptors[0], "layers": descriptors}
    content = json.dumps(document).encode()
    parked = [replica.script.park("before", "get") for _ in range(2 * LONG)]
    asked = replica.script.begun["get"]
    client = await connect(replica)
    async with client.stream:
        await client.begin("PUT", f"/v2/{REPO}/manifests/v1", len(content), Content_Type=OCI_IMAGE)
        await client.stream.send_all(client.http.send(h11.Data(data=content)) or b"")
        client.http.send(h11.EndOfMessage())
        await parked[0].reached.wait()
        await trio.testing.wait_all_tasks_blocked()
    assert (await ended(replica, "PUT")).cut is Cut.GONE
    assert replica.script.begun["get"] - asked <= LONG_LIST + 1
