"""Where keys come from: the configuration, or the AWS chain, renewed before they expire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trio

from zotpy.s3.config import S3Config
from zotpy.s3.credentials import REFRESH_AHEAD, AwsChain, credentials_of
from zotpy.s3.errors import S3Unavailable
from zotpy.s3.wire.signing import Keys

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return an empty home without any AWS settings, on a machine without metadata."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


@dataclass
class Frozen:
    """What botocore gives to sign with."""

    access_key: str
    secret_key: str = "s"
    token: str | None = "t"


class Source:
    """Credentials that expire, as botocore keeps them."""

    def __init__(self, expires: datetime) -> None:
        """Begin with the first keys."""
        self._expiry_time = expires
        self.asked = 0
        self.fails = False

    def get_frozen_credentials(self) -> Frozen:
        """Give the next keys."""
        self.asked += 1
        if self.fails:
            msg = "no answer"
            raise ConnectionError(msg)
        return Frozen(f"key{self.asked}")


class Session:
    """A session of botocore with one source."""

    def __init__(self, source: Source | None) -> None:
        """Find this source."""
        self._source = source

    def get_credentials(self) -> Source | None:
        """Find it."""
        return self._source


async def test_configured_keys_are_used_as_they_are() -> None:
    """Keys of the configuration need no chain."""
    config = S3Config("b", access_key="a", secret_key="s", session_token="t")
    assert await credentials_of(config)() == Keys("a", "s", "t")


async def test_the_environment_is_the_first_source(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without configured keys, those of the environment sign, before those of the shared file."""
    (bare / "credentials").write_text("[default]\naws_access_key_id = file\naws_secret_access_key = s\n")
    assert (await credentials_of(S3Config("b"))()).access_key == "file"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert (await credentials_of(S3Config("b"))()).access_key == "environment"


@pytest.mark.usefixtures("bare")
async def test_no_source_at_all_says_what_to_set() -> None:
    """Where the chain is empty the error names the settings."""
    with pytest.raises(S3Unavailable, match="accesskey"):
        await credentials_of(S3Config("b"))()


async def test_keys_are_renewed_ahead_of_their_end_and_kept_while_that_fails() -> None:
    """Ten minutes before the end they are renewed; if that fails the old ones sign on, until they have expired."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    source = Source(now + timedelta(hours=1))
    chain = AwsChain(Session(source), lambda: now)
    assert (await chain()).access_key == "key1"
    assert (await chain()).access_key == "key1"
    now += timedelta(hours=1) - REFRESH_AHEAD
    source.fails = True
    assert (await chain()).access_key == "key1"
    now += REFRESH_AHEAD
    with pytest.raises(S3Unavailable):
        await chain()
    source.fails = False
    source._expiry_time = now + timedelta(hours=1)
    assert (await chain()).access_key.startswith("key")


async def test_keys_know_their_end() -> None:
    """Keys of the chain say when they end, so that nothing signed with them is promised for longer."""
    expires = datetime.now(UTC) + timedelta(hours=1)
    assert (await AwsChain(Session(Source(expires)))()).expires == expires
    config = S3Config("b", access_key="a", secret_key="s", session_token="t")
    assert (await credentials_of(config)()).expires is None


async def test_one_of_many_requests_asks_for_new_keys() -> None:
    """However many requests begin at once, the chain is asked once."""
    source = Source(datetime.now(UTC) + timedelta(hours=1))
    chain = AwsChain(Session(source))
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(chain)
    assert source.asked == 1
