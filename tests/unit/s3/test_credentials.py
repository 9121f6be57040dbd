"""Where keys come from: the configuration, or the AWS chain, renewed before they expire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trio

from zotpy.s3.config import S3Config
from zotpy.s3.credentials import REFRESH_AHEAD, AwsChain, credentials_of
from zotpy.s3.errors import S3Unavailable
from zotpy.s3.wire.signing import Keys

if TYPE_CHECKING:
    from collections.abc import Callable
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

    def __init__(self, expires: datetime, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Begin with the first keys."""
        self.expires = expires
        self._now = now
        self.asked = 0
        self.fails = False

    def refresh_needed(self, refresh_in: int) -> bool:
        """Say whether the keys end within this many seconds."""
        return (self.expires - self._now()).total_seconds() < refresh_in

    def get_frozen_credentials(self) -> Frozen:
        """Give the next keys."""
        self.asked += 1
        if self.fails:
            msg = "no answer"
            raise ConnectionError(msg)
        return Frozen(f"key{self.asked}")


class Session:
    """A session of botocore with one source."""

    def __init__(self, source: Any) -> None:
        """Find this source."""
        self._source = source

    def get_credentials(self) -> Any:
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
    source = Source(now + timedelta(hours=1), lambda: now)
    chain = AwsChain(lambda: Session(source), lambda: now)
    assert (await chain()).access_key == "key1"
    assert (await chain()).access_key == "key1"
    now += timedelta(hours=1) - REFRESH_AHEAD
    source.fails = True
    assert (await chain()).access_key == "key1"
    now += REFRESH_AHEAD
    with pytest.raises(S3Unavailable):
        await chain()
    source.fails = False
    source.expires = now + timedelta(hours=1)
    assert (await chain()).access_key.startswith("key")


async def test_keys_know_their_end() -> None:
    """Keys of the chain say when they end, so that nothing signed with them is promised for longer."""
    expires = datetime.now(UTC) + timedelta(hours=1)
    found = (await AwsChain(lambda: Session(Source(expires)))()).expires
    assert found is not None
    assert expires - timedelta(seconds=2) <= found <= expires
    config = S3Config("b", access_key="a", secret_key="s", session_token="t")
    assert (await credentials_of(config)()).expires is None


async def test_one_of_many_requests_asks_for_new_keys() -> None:
    """However many requests begin at once, the chain is asked once."""
    source = Source(datetime.now(UTC) + timedelta(hours=1))
    chain = AwsChain(lambda: Session(source))
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(chain)
    assert source.asked == 1


async def test_the_library_says_when_its_keys_end(bare: Path) -> None:
    """Botocore's own temporary keys have an end here, though it publishes none, and keys for ever have none."""
    from botocore.credentials import RefreshableCredentials  # noqa: PLC0415 - slow to load

    expires = datetime.now(UTC) + timedelta(hours=3)
    metadata = {"access_key": "a", "secret_key": "s", "token": "t", "expiry_time": expires.isoformat()}
    source = RefreshableCredentials.create_from_metadata(metadata, lambda: metadata, "test")
    found = (await AwsChain(lambda: Session(source))()).expires
    assert found is not None
    assert expires - timedelta(seconds=2) <= found <= expires
    (bare / "credentials").write_text("[default]\naws_access_key_id = file\naws_secret_access_key = s\n")
    assert (await AwsChain()()).expires is None


async def test_keys_that_were_rotated_are_read_anew(bare: Path) -> None:
    """Refused keys of the shared file are replaced by those that it has now; the file is not read again at once."""
    file = bare / "credentials"
    file.write_text("[default]\naws_access_key_id = old\naws_secret_access_key = s\n")
    chain = AwsChain()
    old = await chain()
    file.write_text("[default]\naws_access_key_id = new\naws_secret_access_key = s\n")
    assert (await chain()).access_key == "old"
    assert await chain.renew(old)
    new = await chain()
    assert new.access_key == "new"
    assert await chain.renew(old)
    file.write_text("[default]\naws_access_key_id = newest\naws_secret_access_key = s\n")
    assert not await chain.renew(new)


async def test_configured_keys_have_no_others() -> None:
    """There is nothing to read anew."""
    credentials = credentials_of(S3Config("b", access_key="a", secret_key="s"))
    assert not await credentials.renew(await credentials())
