"""From the configuration's words to those of the S3 client."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from zotpy.config import load_settings
from zotpy.core.units import MIB
from zotpy.s3.transport import S3Transport
from zotpy.startup import StartupError
from zotpy.storage import open_store, s3_config

if TYPE_CHECKING:
    from zotpy.s3.config import S3Config


def variables(**settings: str) -> dict[str, str]:
    """Return the variables of these settings of the driver."""
    names = {"bucket": "images", **settings}
    return {f"ZOTPY_STORAGE_STORAGEDRIVER_{name.upper()}": value for name, value in names.items()}


def configured(environ: dict[str, str]) -> S3Config:
    """Return what the client is given with these variables."""
    settings = load_settings(None, environ)
    assert settings.storage.s3 is not None
    return s3_config(settings.storage.s3, settings)


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"region": "cn-northwest-1"}, "https://images.s3.cn-northwest-1.amazonaws.com.cn"),
        ({"usefipsendpoint": "true", "region": "us-east-2"}, "https://images.s3-fips.us-east-2.amazonaws.com"),
        ({"usefipsendpoint": "false", "region": "us-east-2"}, "https://images.s3.us-east-2.amazonaws.com"),
        ({"usedualstack": "true", "region": "us-east-2"}, "https://images.s3.dualstack.us-east-2.amazonaws.com"),
        ({"regionendpoint": "store:9000", "secure": "false"}, "http://store:9000/images"),
    ],
)
def test_a_bucket_is_where_the_configuration_says(settings: dict[str, str], url: str) -> None:
    """Settings of zot's that name an endpoint of AWS have their effect."""
    assert configured(variables(**settings)).bucket_url == url


def test_the_authorities_to_trust_are_passed_on() -> None:
    """The file is the client's."""
    assert configured(variables(cabundle=__file__)).ca_bundle == Path(__file__)


@pytest.mark.parametrize(("budget", "bodies", "bite_bytes"), [("512MiB", 64, MIB), ("128MiB", 64, MIB // 4)])
async def test_parts_on_their_way_share_what_the_budget_leaves(budget: str, bodies: int, bite_bytes: int) -> None:
    """Beside a small budget the system holds less of all parts together, as of bodies to and from clients."""
    config = configured({**variables(regionendpoint="http://store:9000"), "ZOTPY_UPLOAD_MEMORYBUDGET": budget})
    sent = S3Transport(config).service.sent
    sent.bodies = bodies
    assert sent.bite_bytes == bite_bytes


async def test_every_program_that_opens_the_store_keeps_the_memory_of_bodies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`zotpy import` moves as many bytes as a replica."""
    kept: list[int] = []
    monkeypatch.setattr("zotpy.storage.keep_freed", kept.append)
    settings = load_settings(
        None, {"ZOTPY_STORAGE_ROOTDIRECTORY": str(tmp_path / "none"), "ZOTPY_UPLOAD_MEMORYBUDGET": "300MiB"}
    )
    with pytest.raises(StartupError, match="does not exist"):
        async with open_store(settings, beside_a_replica=True):
            pass
    assert kept == [300 * MIB]
