"""What a replica does at its start for the digests of later, and what it says of it."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from zotpy.bucket import digesting
from zotpy.bucket.digesting import prepare_hashing


@pytest.mark.parametrize("reason", [None, "no libcrypto is found"])
async def test_libcrypto_is_looked_for_in_a_thread_and_said_once_if_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, reason: str | None
) -> None:
    """The search starts programs, so no request and no event loop waits for it; its failure is one warning."""
    threads: list[threading.Thread] = []

    def trouble() -> str | None:
        threads.append(threading.current_thread())
        return reason

    monkeypatch.setattr(digesting, "trouble", trouble)
    with capture_logs() as logs:
        await prepare_hashing()
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
    said = [(line["log_level"], line["event"], line["reason"]) for line in logs]
    assert said == ([] if reason is None else [("warning", "hash_states_stay_here", reason)])
