"""Wait until the replica on a port of this host is ready: `python ready.py CONFIG PORT [SECONDS]`; 1: it is not."""

import sys
import time
from pathlib import Path

import httpx

from zotpy.config import load_settings

TIMEOUT_S = 120.0
POLL_S = 0.2
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - where to ask one that listens everywhere


def main() -> int:
    """Ask `/readyz` where the configuration says that the replica listens, until it answers 200."""
    settings = load_settings(Path(sys.argv[1]), overrides={"http.port": sys.argv[2]}).http
    give_up_at = time.monotonic() + float(sys.argv[3] if len(sys.argv) > 3 else TIMEOUT_S)  # noqa: PLR2004 - the third
    host = EVERYWHERE.get(settings.address, settings.address)
    host = f"[{host}]" if ":" in host and "[" not in host else host
    url = f"{'https' if settings.tls_cert else 'http'}://{host}:{settings.port}/readyz"
    said = ""
    # The certificate names the registry, not this address; what is asked is whether it answers.
    with httpx.Client(verify=False, trust_env=False) as client:  # noqa: S501
        while time.monotonic() < give_up_at:
            try:
                answer = client.get(url)
                if answer.status_code == httpx.codes.OK:
                    return 0
                said = f"{answer.status_code} {answer.text.strip()}"
            except httpx.TransportError as error:
                said = repr(error)
            time.sleep(POLL_S)
    sys.stderr.write(f"{url} is not ready: {said}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
