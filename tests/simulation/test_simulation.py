"""The protocol under random interleavings; any rule of it taken out is noticed."""

from __future__ import annotations

import pytest

from tests.simulation.many import first_failure, run_one
from tests.simulation.schedule import Schedule

SCHEDULES = 20_000
SCHEDULES_RETAINED = 2_000
ENOUGH = 6_000
"""Schedules in which a missing rule must show."""
NOTICED_IN = {
    "renewal": "",
    "references": "",
    "grace": "",
    "leases_as_listed": "",
    "newest_lease": "",
    "tombstone_last": "",
    "retirement": "fading",
    "waiting": "fading",
    "hints_first": "fading",
    "notes_that_count": "lingering",
    "delete_swaps": "rivals",
    "renewal_swaps": "rivals",
    "entry_nonces": "rivals",
    "epochs": "rivals",
    "retention_swaps": "retained",
    "lease_of_entry": "retained",
    "indexes_first": "retained",
    "staying_together": "retained",
}
"""The theme in which it does soonest."""


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
@pytest.mark.parametrize("rule", NOTICED_IN)
def test_each_rule_is_needed(rule: str) -> None:
    """Without this rule of the protocol, something acknowledged is lost, or something deleted is back."""
    failure = first_failure(range(ENOUGH), NOTICED_IN[rule], rule)
    assert failure is not None
    assert "left behind" not in failure.error


def test_a_seed_brings_the_same_schedule_back() -> None:
    """Two runs of one seed make the same store calls at the same times."""
    for seed in range(20):
        first, second = Schedule(seed), Schedule(seed)
        first.run()
        second.run()
        assert first.trace() == second.trace()


def test_a_failure_is_told_with_its_seed_and_its_calls() -> None:
    """What fails says how to see it again, and what the store was asked."""
    failure = first_failure(range(1000), without="references")
    assert failure is not None
    again = run_one(failure.seed, without="references")
    assert again == failure
    assert f"--seed {failure.seed}" in str(failure)
    assert "leases/" in failure.trace
