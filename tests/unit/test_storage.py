"""From the configuration's words to those of the S3 client."""

from __future__ import annotations

from pathlib import Path

import pytest

from zotpy.config import load_settings
from zotpy.storage import s3_config


def variables(**settings: str) -> dict[str, str]:
    """Return the variables of these settings of the driver."""
    names = {"bucket": "images", **settings}
    return {f"ZOTPY_STORAGE_STORAGEDRIVER_{name.upper()}": value for name, value in names.items()}


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
    s3 = load_settings(None, variables(**settings)).storage.s3
    assert s3 is not None
    assert s3_config(s3).bucket_url == url


def test_the_authorities_to_trust_are_passed_on() -> None:
    """The file is the client's."""
    s3 = load_settings(None, variables(cabundle=__file__)).storage.s3
    assert s3 is not None
    assert s3_config(s3).ca_bundle == Path(__file__)
