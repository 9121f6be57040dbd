"""What shows Google who this machine is at AWS: a request to AWS that its keys sign, and that Google sends.

The request is `GetCallerIdentity` of AWS's token service, which answers with the name of who signed it. Google's
resource is signed, too, so nobody else can use the request. Source: AIP-4117; Google, *Workload identity federation*.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from zotpy.s3.credentials import Credentials
from zotpy.s3.errors import S3Unavailable
from zotpy.s3.wire.signing import EMPTY_SHA256, sign
from zotpy.upstream.errors import UpstreamUnavailable, words_of
from zotpy.upstream.temporary import service_requests
from zotpy.upstream.temporary.secret_files import text_of
from zotpy.upstream.temporary.service_requests import text_at

_REGION = re.compile(r"[a-z0-9-]{1,32}")
_URL = re.compile(r"https://(?P<host>sts(\.[a-z0-9-]{1,32})?\.amazonaws\.com(\.cn)?)/?(\?(?P<query>[!-~]{0,256}))?")


@dataclass(frozen=True, slots=True)
class AwsIdentity:
    """The source of one external account."""

    source: Mapping[str, Any]
    """`credential_source` of its file."""
    file: Path
    keys: Credentials
    environ: Mapping[str, str]

    async def token(self, audience: str) -> str:
        """Return the signed request as Google wants it. Raises `UpstreamUnavailable`."""
        if self.source["environment_id"] != "aws1":
            msg = f"{self.file}: zotpy knows the environment_id aws1 alone"
            raise UpstreamUnavailable(msg)
        region = await self._region()
        url = text_of(self.source, "regional_cred_verification_url", self.file).replace("{region}", region)
        if (found := _URL.fullmatch(url)) is None:
            msg = f"{self.file} names {words_of(url)!r} instead of https://sts.{{region}}.amazonaws.com"
            raise UpstreamUnavailable(msg)
        try:
            keys = await self.keys()
        except S3Unavailable as error:
            raise UpstreamUnavailable(str(error)) from error
        headers = {"host": found["host"], "x-goog-cloud-target-resource": audience}
        query = parse_qsl(found["query"] or "", keep_blank_values=True)
        now = service_requests.now()
        signed = sign(keys, region, now, "POST", "/", query, headers, EMPTY_SHA256, service="sts", shows_payload=False)
        signed["Authorization"] = signed.pop("authorization")
        listed = [{"key": name, "value": value} for name, value in sorted(signed.items())]
        return quote(json.dumps({"url": url, "method": "POST", "headers": listed}))

    async def _region(self) -> str:
        """Return the region of this machine: that of the environment, or that of its zone."""
        region = self.environ.get("AWS_REGION") or self.environ.get("AWS_DEFAULT_REGION")
        if not region:
            headers = {}
            if "imdsv2_session_token_url" in self.source:
                life = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
                session = await self._at("PUT", "imdsv2_session_token_url", life)
                headers["X-aws-ec2-metadata-token"] = session
            region = (await self._at("GET", "region_url", headers))[:-1]
        if _REGION.fullmatch(region):
            return region
        msg = f"{words_of(region)!r} is no region of AWS: set AWS_REGION"
        raise UpstreamUnavailable(msg)

    async def _at(self, method: str, name: str, headers: Mapping[str, str]) -> str:
        return await text_at(method, text_of(self.source, name, self.file), headers, self.file)
