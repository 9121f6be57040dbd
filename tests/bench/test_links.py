"""The links of replicas: shaped by the kernel for root, by proxies for others; nothing of them is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from bench.cluster.network import network
from bench.servers.namespaces import NAMES, Namespaces, link_bytes, remove_leftovers, why_none
from bench.servers.processes import accepts, free_port
from bench.servers.relay import Direction
from tests.processes import missing

if TYPE_CHECKING:
    from pathlib import Path


def need_namespaces() -> None:
    """Skip the test without namespaces, or fail it under CI."""
    if why := why_none():
        missing(f"network namespaces are needed: {why}")


def test_without_root_there_are_proxies_and_the_report_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to make namespaces each replica gets a proxy. The limits name it, and it ends with the run."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with network(25, tmp_path, with_namespaces=True) as links:
        slot = links.slot("zotpy", 0, free_port())
        assert "no network namespaces: not root" in links.what
        assert accepts(slot.address[1])
        assert len(links.trees()) == 1
    assert not accepts(slot.address[1])


def test_a_namespace_has_a_link_of_its_own() -> None:
    """Two replicas get two namespaces with an address and a counted link each; after the block there are none."""
    need_namespaces()
    namespaces = Namespaces()
    with namespaces.hub():
        made = [namespaces.add_replica(1_000_000) for _ in range(2)]
        assert [(there, here) for _, there, here in made] == [
            ("198.18.1.2", "198.18.1.1"),
            ("198.18.2.2", "198.18.2.1"),
        ]
        assert len(link_bytes()) == 2
        enter = made[0][0]
        shown = subprocess.run([*enter, "tc", "qdisc", "show", "dev", "eth0"], capture_output=True, check=True)
        assert b"tbf" in shown.stdout
        assert b"8Mbit" in shown.stdout
    assert list(NAMES.glob(f"zotpy-bench-{os.getpid()}-*")) == []


def test_what_a_killed_run_left_is_removed() -> None:
    """The next one removes namespaces whose program has ended, with what runs in them, and none of those that live."""
    need_namespaces()
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    left = f"zotpy-bench-{ended.pid}-1-hub"
    with ExitStack() as stack:
        subprocess.run(["ip", "netns", "add", left], check=True)
        stack.callback(subprocess.run, ["ip", "netns", "delete", left], capture_output=True, check=False)
        sleeper = stack.enter_context(subprocess.Popen(["nsenter", f"--net={NAMES / left}", "--", "sleep", "600"]))
        stack.callback(sleeper.kill)
        while not subprocess.run(["ip", "netns", "pids", left], capture_output=True, check=True).stdout:
            assert sleeper.poll() is None  # on its way into the namespace: nobody would find it there yet
        with Namespaces().hub():
            assert not (NAMES / left).exists()
            assert len(list(NAMES.glob(f"zotpy-bench-{os.getpid()}-*"))) == 1
            remove_leftovers()
            assert len(list(NAMES.glob(f"zotpy-bench-{os.getpid()}-*"))) == 1
        assert sleeper.wait(60) == -9


def test_a_link_without_rate_is_the_machine(tmp_path: Path) -> None:
    """With a rate of 0 nothing stands between, and the report says that, too."""
    with network(0, tmp_path, with_namespaces=True) as links:
        assert "no limit" in links.what
        assert links.carried() is None
        assert links.slot("zotpy", 0, 9000).store_endpoint == "http://127.0.0.1:9000"


def test_all_connections_share_one_direction() -> None:
    """What several send in turn takes as long as one sending it all; a link saves nothing up while nobody sends."""
    direction = Direction(1_000_000)
    waits = [direction.wait_s(20_000, now_s=7.0) for _ in range(5)]
    assert waits == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert direction.wait_s(20_000, now_s=9.0) == pytest.approx(0.02)
