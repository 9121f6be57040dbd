"""Which requests count as pulls."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.unit.web.serving import REPO, SETTINGS, digest_of, image, serving
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.core.pulls import Pull, decode_pulls
from zotpy.settings import KeepTagsSettings, PolicySettings, RetentionSettings

if TYPE_CHECKING:
    import trio

NEEDS_PULLS = RetentionSettings(policies=(PolicySettings((), keep_tags=(KeepTagsSettings(pulled_within_s=60.0),)),))


async def test_a_get_of_a_manifest_is_a_pull_and_costs_no_call(nursery: trio.Nursery) -> None:
    """By tag or by digest it is noted for the manifest. HEAD does not count, nor does a GET of a missing manifest."""
    async with serving(nursery, replace(SETTINGS, retention=NEEDS_PULLS)) as replica:
        await replica.push_image("v1")
        await replica.push_image("v2", note="asked for by HEAD alone")
        await replica.push_image(note="by its digest")
        replica.script.begun.clear()
        wanted = [("GET", "v1"), ("GET", "v1"), ("GET", digest_of(image(note="by its digest")))]
        for method, reference in [*wanted, ("HEAD", "v2"), ("GET", "v3")]:
            await replica.client.request(method, f"/v2/{REPO}/manifests/{reference}")
        assert replica.script.begun == {"get": 5}
        await replica.registry.pulls.write()
        (key,) = [key for key in replica.store.objects if key.startswith(keys.PULLS) and key != keys.PULLS_SINCE]
        written = replica.store.objects[key]
        pulled = {Digest.parse(digest_of(body)) for body in (image(), image(note="by its digest"))}
        assert set(decode_pulls(written.body, written.last_modified)) == {
            Pull(RepositoryName.parse(REPO), digest, written.last_modified) for digest in pulled
        }
