"""Hosts of Amazon ECR."""

from __future__ import annotations

import pytest

from zotpy.core.ecr_hosts import EcrHost, read_ecr_host

ACCOUNT = "012345678910"


@pytest.mark.parametrize(
    ("rest", "region", "service"),
    [
        ("dkr.ecr.eu-central-1.amazonaws.com", "eu-central-1", "api.ecr.eu-central-1.amazonaws.com"),
        ("dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", "api.ecr.cn-north-1.amazonaws.com.cn"),
        ("dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", "api.ecr.eusc-de-east-1.amazonaws.eu"),
        ("dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", "ecr-fips.us-gov-west-1.amazonaws.com"),
        ("dkr-ecr.us-east-2.on.aws", "us-east-2", "ecr.us-east-2.api.aws"),
        ("dkr-ecr-fips.us-east-2.on.aws", "us-east-2", "ecr-fips.us-east-2.api.aws"),
    ],
)
def test_a_host_says_where_logins_come_from(rest: str, region: str, service: str) -> None:
    """The service is the one that botocore asks; the case of a host means nothing."""
    assert read_ecr_host(f"{ACCOUNT}.{rest}") == EcrHost(ACCOUNT, region, service)
    assert read_ecr_host(f"{ACCOUNT}.{rest.upper()}") == EcrHost(ACCOUNT, region, service)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "public.ecr.aws",
        f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com.evil.example",
        f"{ACCOUNT}.dkr.ecr.evil.example/.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu-central-1.on.aws",
        f"{ACCOUNT}.dkr-ecr.eu-central-1.amazonaws.com",
        "12345.dkr.ecr.eu-central-1.amazonaws.com",
    ],
)
def test_other_hosts(host: str) -> None:
    """No key signs for them."""
    assert read_ecr_host(host) is None
