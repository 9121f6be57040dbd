"""The bucket of a zot, as its sources write it: a root that is there twice, and links that are empty objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio

from tests.blackbox.images import Layout, large_layer, small_layer
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.blackbox.imports import Target
    from tests.servers import Bucket


@pytest.fixture
def zot(bucket: Bucket, prefix: str, tmp_path: Path) -> Path:
    """Return the configuration of a zot. Two repositories are in its bucket; the second one has links alone."""
    layout = Layout(tmp_path / "layout")
    layout.tag(layout.add_image([large_layer(), small_layer("h11")]), "v1")
    layout.add_blob(b"", "application/octet-stream")
    root = f"{prefix}-zot"
    files = [path for path in layout.path.rglob("*") if path.is_file()]

    async def fill() -> None:
        async with open_s3_store(bucket.config(), f"{root}/{root}", create_bucket=True) as store:
            for repo in ("team/app", "team/app/copy"):
                for file in files:
                    name = file.relative_to(layout.path).as_posix()
                    is_link = repo.endswith("copy") and name.startswith("blobs/")
                    await store.put(f"{repo}/{name}", b"" if is_link else file.read_bytes())

    trio.run(fill)
    driver = {
        "name": "s3",
        "region": bucket.region,
        "regionendpoint": bucket.endpoint,
        "bucket": bucket.name,
        "rootdirectory": f"/{root}",
        "forcepathstyle": True,
        "secure": False,
        "accesskey": bucket.access_key,
        "secretkey": bucket.secret_key,
    }
    storage = {"rootDirectory": str(tmp_path / "cache"), "dedupe": True, "remoteCache": True, "storageDriver": driver}
    config = tmp_path / "zot.json"
    config.write_text(json.dumps({"distSpecVersion": "1.1.1", "storage": storage, "http": {"port": "5000"}}))
    return config


def test_the_bucket_of_a_zot(zot: Path, target: Target) -> None:
    """Its repositories are found, one inside another, and links lead to their bytes."""
    told = target.told(f"zot:{zot}")
    assert (told["repositories"], told["tags_copied"], told["problems"]) == (2, 2, [])
    assert told["blobs_copied"] + told["blobs_mounted"] == 6
    assert target.told(f"zot:{zot}")["tags_unchanged"] == 2
    alone = target.told(f"zot:{zot}", "--destination", "alone", "--tags", "v1")
    assert (alone["tags_copied"], alone["problems"]) == (2, [])


def test_a_bucket_that_does_not_exist(zot: Path, target: Target) -> None:
    """It is not created."""
    zot.write_text(zot.read_text().replace('"bucket": "', '"bucket": "no-'))
    done = target.run(f"zot:{zot}")
    assert done.returncode == 1
    assert "the bucket of the source" in done.stderr
