"""The protocol under random interleavings; any rule of it taken out is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.many import first_failure, run_one
from tests.simulation.rules import RULES

ROOT = Path(__file__).parents[2]
SCHEDULES = 20_000
SCHEDULES_RETAINED = 2_000
SCHEDULES_KEPT = 2_000
ENOUGH = 40_000
"""Schedules in which a missing rule must show."""
NOTICED_IN = {
    "renewal": "lingering",
    "references": "",
    "grace": "",
    "leases_as_listed": "fading",
    "newest_lease": "lingering",
    "retirement": "fading",
    "waiting": "hurried",
    "hints_first": "half gone",
    "notes_that_count": "lingering",
    "tombstone_last": "crashing",
    "lease_first": "crashing",
    "collector_swaps": "renounced",
    "renewal_swaps": "renounced",
    "delete_swaps": "duel",
    "entry_nonces": "revived",
    "epochs": "rivals",
    "age_of_kept": "kept",
    "store_times": "suspended",
    "retention_swaps": "retained",
    "lease_of_entry": "retained",
    "indexes_first": "retained",
    "staying_together": "retained",
}
"""The theme in which it does soonest."""
WITNESSES = {"notes_that_count": 24187}
"""Seeds that show rules which take longer; if one no longer does, all others are tried."""


@pytest.mark.timeout(1200)
def test_all_that_was_acknowledged_stays_whole() -> None:
    """Clients, collectors, pauses of hours, crashes: what was acknowledged can be pulled, what was deleted leaves."""
    failure = first_failure(range(SCHEDULES))
    assert failure is None, str(failure)


@pytest.mark.timeout(1200)
def test_what_a_tag_names_stays_whole_where_untagged_manifests_go() -> None:
    """By a retention rule, while they are wanted again: what can be seen is whole, what is young or tagged stays."""
    failure = first_failure(range(SCHEDULES_RETAINED), "retained")
    assert failure is None, str(failure)


@pytest.mark.timeout(1200)
def test_what_was_kept_between_two_requests_stays_whole() -> None:
    """However late the PUT comes after its PATCH, it makes a blob that is whole, or none."""
    failure = first_failure(range(SCHEDULES_KEPT), "kept")
    assert failure is None, str(failure)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("rule", NOTICED_IN)
def test_each_rule_is_needed(rule: str) -> None:
    """Without this rule of the protocol, something acknowledged is lost, or something deleted is back."""
    theme = NOTICED_IN[rule]
    witness = WITNESSES.get(rule, 0)
    failure = first_failure(range(witness, witness + 1), theme, rule) or first_failure(range(ENOUGH), theme, rule)
    assert failure is not None
    assert failure.error.startswith("Broken("), failure.error
    assert "left behind" not in failure.error


def test_every_rule_is_taken_out() -> None:
    """No rule can be added to those that can be taken out without showing that it is needed."""
    assert NOTICED_IN.keys() == RULES.keys()


def test_a_seed_brings_the_same_schedule_back() -> None:
    """Two processes, whose hashes differ, make of one seed the same store calls at the same times."""
    first, second = (_traces(hash_seed) for hash_seed in ("1", "2"))
    assert len(first.splitlines()) > 1000
    assert first == second


def _traces(hash_seed: str) -> str:
    program = (
        "from tests.simulation.schedule import Schedule\n"
        "for seed in range(100, 150):\n"
        "    schedule = Schedule(seed)\n"
        "    schedule.run()\n"
        "    print(schedule.trace())\n"
    )
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return run.stdout


def test_a_failure_is_told_with_its_seed_and_its_calls() -> None:
    """What fails says how to see it again, and what the store was asked."""
    failure = first_failure(range(1000), without="references")
    assert failure is not None
    again = run_one(failure.seed, without="references")
    assert again == failure
    assert f"--seed {failure.seed} --without references" in str(failure)
    assert "leases/" in failure.trace
