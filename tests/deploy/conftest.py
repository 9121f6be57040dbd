"""What the tests of deployments share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.deploy.certificates import self_signed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def _started(plain_starts: None) -> None:
    """Start replicas as a machine does."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a certificate for 127.0.0.1 and two names, and its key."""
    return self_signed(tmp_path_factory.mktemp("certificate"))
