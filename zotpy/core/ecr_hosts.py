"""Hosts of Amazon ECR: a private registry's name says its account, its region, and which service gives logins."""

import re
from dataclasses import dataclass

_HOST = re.compile(
    r"(?P<account>[0-9]{12})\.dkr(?:\.ecr(?P<fips>-fips)?\.|-ecr(?P<fips6>-fips)?\.)(?P<region>[a-z]{2,8}(?:-[a-z0-9]{1,16}){1,5})\."
    r"(?P<suffix>amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|on\.aws)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class EcrHost:
    """A private registry of ECR."""

    account: str
    """Twelve digits."""
    region: str
    """Such as `eu-central-1`."""
    service: str
    """The host of the API that gives logins."""


def read_ecr_host(host: str) -> EcrHost | None:
    """Read a host such as `012345678910.dkr.ecr.eu-central-1.amazonaws.com`, without a port; `None`: not one of ECR.

    Source: AWS, *Amazon ECR endpoints and quotas*; `on.aws` is the form for IPv6.
    """
    found = _HOST.fullmatch(host.lower())
    if found is None or (found["suffix"] == "on.aws") == (".dkr.ecr" in host.lower()):
        return None
    name = "ecr-fips" if found["fips"] or found["fips6"] else "ecr"
    if found["suffix"] == "on.aws":
        service = f"{name}.{found['region']}.api.aws"
    else:
        service = f"{'api.ecr' if name == 'ecr' else name}.{found['region']}.{found['suffix']}"
    return EcrHost(found["account"], found["region"], service)
