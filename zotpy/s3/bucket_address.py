"""Where a bucket is: in the path or in the host name of a service, and for AWS by AWS's own rules.

AWS has partitions with domains of their own (China, the European sovereign cloud, isolated regions), endpoints for FIPS
and for IPv6, access points, and buckets whose names fit no host name. botocore knows AWS's rules. zotpy reads them from
the URL that botocore signs for a GetObject.
"""

import re
from functools import lru_cache
from urllib.parse import urlsplit

from zotpy.s3.errors import S3Error

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_KEY = "k"
_DIRECTORY_BUCKET = "--x-s3"
"""How names of S3 Express's directory buckets end. These need another signature, and list in no order."""


def bucket_at(service_url: str, bucket: str, *, path_style: bool) -> str:
    """Return the URL of a bucket of a service, without a slash at its end.

    A bucket is in the path if its name is not a host name. A name with dots is in the path if the service uses TLS,
    because the certificate of the service covers one label before its own name.
    """
    url = urlsplit(service_url.rstrip("/"))
    labels = bucket.split(".")
    in_host = all(map(_LABEL.fullmatch, labels)) and (len(labels) == 1 or url.scheme == "http")
    if path_style or not in_host:
        return f"{url.geturl()}/{bucket}"
    return url._replace(netloc=f"{bucket}.{url.netloc}").geturl()


@lru_cache
def aws_bucket_url(bucket: str, region: str, *, path_style: bool, fips: bool, dual_stack: bool) -> str:
    """Return the URL of a bucket of AWS, without a slash at its end. Raises `S3Error` if AWS has none.

    Without `fips` or `dual_stack` AWS's own variables and files decide, such as AWS_USE_FIPS_ENDPOINT.
    """
    from botocore.config import Config  # noqa: PLC0415 - 20 MiB that other services do not need
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    if bucket.endswith(_DIRECTORY_BUCKET):
        msg = f"{bucket} is a directory bucket (S3 Express), which zotpy cannot use: choose a general purpose bucket"
        raise S3Error(msg)
    settings = Config(
        signature_version="s3v4",
        use_fips_endpoint=fips or None,
        use_dualstack_endpoint=dual_stack or None,
        ignore_configured_endpoint_urls=True,
        defaults_mode="legacy",  # it calls no service
        s3={"addressing_style": "path" if path_style else "virtual", "us_east_1_regional_endpoint": "regional"},
    )
    try:
        client = Session().create_client(
            "s3", region, aws_access_key_id=_KEY, aws_secret_access_key=_KEY, config=settings
        )
        signed: str = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": _KEY})
    except (BotoCoreError, ValueError) as error:
        msg = f"AWS has no address for the bucket {bucket!r} in the region {region!r}: {error}"
        raise S3Error(msg) from error
    return signed.partition("?")[0].removesuffix(f"/{_KEY}")
