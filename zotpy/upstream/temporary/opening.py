"""From the settings of a mirrored registry to the logins at its addresses."""

from collections.abc import Callable
from functools import cached_property
from urllib.parse import urlsplit

from zotpy.core.ecr_hosts import read_ecr_host
from zotpy.s3.credentials import AwsChain
from zotpy.settings.temporary_logins import LoginService, OAuth2Settings
from zotpy.upstream.login import Credentials
from zotpy.upstream.temporary import ecr, google, token_exchange
from zotpy.upstream.temporary.remembered import Remembered


class LoginServices:
    """All services that give logins to this process. Each is asked once for all upstreams that need the same login."""

    def __init__(self) -> None:
        """Ask nobody yet."""
        self._opened: dict[object, Remembered] = {}

    def credentials(self, service: LoginService, url: str) -> Credentials:
        """Return what gives the login at the address of an upstream. Raises `ValueError`."""
        if isinstance(service, OAuth2Settings):
            return self._once(
                service, lambda: Remembered(token_exchange.TokenService(service), token_exchange.MARGIN_S)
            )
        if service == "gcp":
            return self._once(service, lambda: Remembered(google.GoogleService(aws=self._aws), google.MARGIN_S))
        host = read_ecr_host(urlsplit(url).hostname or "")
        if host is None:
            msg = f"{url} is not an address of ECR, such as https://012345678910.dkr.ecr.eu-central-1.amazonaws.com"
            raise ValueError(msg)
        return self._once(host, lambda: Remembered(ecr.EcrService(host, self._aws), ecr.MARGIN_S))

    @cached_property
    def _aws(self) -> AwsChain:
        return AwsChain(remedy="set up a source of the AWS chain. The keys of the bucket are not used here")

    def _once(self, key: object, make: Callable[[], Remembered]) -> Remembered:
        if key not in self._opened:
            self._opened[key] = make()
        return self._opened[key]
