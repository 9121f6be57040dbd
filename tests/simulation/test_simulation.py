"""The protocol under random interleavings; any rule of it taken out is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.simulation.clock import StepClock, own_clocks
from tests.simulation.many import first_failure, run_one
from tests.simulation.options import IMPORTED, SIMULATED
from tests.simulation.rules import RULES
from zotpy import concurrency

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SCHEDULES, OF_ONE_THEME = 2_000, 200
"""How many schedules a usual search runs; others run a multiple of it, see `options.py`.

Something rarer shows in one of the next runs, which search other schedules.
"""
DEADLINE_S = 3600
"""The longest search takes 100 to 280 s if nothing else runs, and a machine may be busy with ten other programs."""
ENOUGH = 40_000
"""How many schedules must be enough to show a missing rule."""
WITNESSES = {
    "renewal": ("lingering", 1),
    "references": ("", 0),
    "grace": ("", 1),
    "leases_as_listed": ("fading", 8),
    "newest_lease": ("lingering", 0),
    "retirement": ("fading", 180),
    "waiting": ("hurried", 4),
    "hints_first": ("half gone", 11),
    "notes_that_count": ("lingering", 10136),
    "tombstone_last": ("crashing", 320),
    "lease_first": ("crashing", 95),
    "own_references": ("", 0),
    "own_age": ("", 18),
    "own_swaps": ("", 8847),
    "own_nonce": ("", 375),
    "collector_swaps": ("renounced", 523),
    "renewal_swaps": ("renounced", 156),
    "delete_swaps": ("duel", 67),
    "epochs": ("rivals", 13752),
    "refused_revivals": ("", 131915415),
    "age_of_kept": ("kept", 15),
    "store_times": ("suspended", 181),
    "immutable_swaps": ("immutable", 6),
    "judging_again": ("immutable", 167),
    "retention_swaps": ("retained", 4),
    "lease_of_entry": ("retained", 21),
    "indexes_first": ("retained", 131),
    "staying_together": ("retained", 10),
    "next_call": ("joined", 1351),
    "promised_wait": ("promised", 0),
    "promised_wait_after_failures": ("promised", 2332),
    "moment_before": ("promised", 567),
    "promised_margin": ("relied", 6),
    "awake_clock": ("promised", 33),
    "digest_of_all": ("continued", 6),
    "named_parts": ("continued", 353),
}
"""For each rule the theme that shows its lack soonest, and a seed that shows it."""


class StaleWitness(UserWarning):
    """A seed no longer shows that a rule is missing, and another one was searched for."""


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> Callable[[int], range]:
    """Return what names the seeds of a search of this usual length, from the seed of this run on."""
    first: int = request.config.option.simulation_seed
    times: int = request.config.option.simulation_times
    return lambda count: range(first, first + times * count)


@pytest.mark.timeout(DEADLINE_S)
def test_all_that_was_acknowledged_stays_whole(seeds: Callable[[int], range]) -> None:
    """Clients, collectors, pauses of hours, crashes: what was acknowledged can be pulled, what was deleted leaves."""
    failure = first_failure(seeds(SCHEDULES))
    assert failure is None, str(failure)


@pytest.mark.timeout(DEADLINE_S)
def test_what_a_tag_names_stays_whole_where_untagged_manifests_go(seeds: Callable[[int], range]) -> None:
    """By a retention rule, while they are wanted again: what can be seen is whole, what is young or tagged stays."""
    failure = first_failure(seeds(OF_ONE_THEME), "retained")
    assert failure is None, str(failure)


@pytest.mark.timeout(DEADLINE_S)
def test_immutable_tags_are_made_once(seeds: Callable[[int], range]) -> None:
    """From the first push that was acknowledged on, such a tag names that manifest, whatever is pushed and deleted."""
    failure = first_failure(seeds(OF_ONE_THEME), "immutable")
    assert failure is None, str(failure)


@pytest.mark.timeout(DEADLINE_S)
def test_what_was_kept_between_two_requests_stays_whole(seeds: Callable[[int], range]) -> None:
    """However late the PUT comes after its PATCH, it makes a blob that is whole, or none."""
    failure = first_failure(seeds(OF_ONE_THEME), "kept")
    assert failure is None, str(failure)


@pytest.mark.timeout(DEADLINE_S)
def test_what_comes_after_a_manifest_of_an_upstream_stays_whole(seeds: Callable[[int], range]) -> None:
    """Replicas fetch the same content at once, and are killed, while collectors delete what is not needed."""
    failure = first_failure(seeds(OF_ONE_THEME), "mirrored")
    assert failure is None, str(failure)


@pytest.mark.timeout(DEADLINE_S)
def test_copies_with_which_two_replicas_go_on_are_whole(seeds: Callable[[int], range]) -> None:
    """One was killed, or only slow, or was sent other bytes: the blob is right, and so is what readers get."""
    failure = first_failure(seeds(OF_ONE_THEME), "continued")
    assert failure is None, str(failure)


@pytest.mark.timeout(DEADLINE_S)
def test_reads_that_share_calls_are_never_older_than_their_requests(seeds: Callable[[int], range]) -> None:
    """Where all clients have one replica: what was acknowledged before a request began, that request sees."""
    failure = first_failure(seeds(OF_ONE_THEME), "joined")
    assert failure is None, str(failure)


@pytest.mark.timeout(DEADLINE_S)
def test_what_is_answered_from_memory_was_not_deleted_before(seeds: Callable[[int], range]) -> None:
    """While replicas remember entries and are suspended: nothing that a DELETE has acknowledged is found again."""
    for theme in ("promised", "relied"):
        failure = first_failure(seeds(OF_ONE_THEME), theme)
        assert failure is None, str(failure)


@pytest.mark.timeout(DEADLINE_S)
@pytest.mark.filterwarnings("default::tests.simulation.test_simulation.StaleWitness")
@pytest.mark.parametrize("rule", WITNESSES)
def test_each_rule_is_needed(rule: str) -> None:
    """Without this rule of the protocol, something acknowledged is lost, or something deleted is back."""
    theme, witness = WITNESSES[rule]
    failure = run_one(witness, theme, rule)
    if failure is None:
        failure = first_failure(range(ENOUGH), theme, rule)
        assert failure is not None
        warnings.warn(f"{rule}: take seed {failure.seed} as its witness", StaleWitness, stacklevel=1)
    assert failure.error.startswith("Broken("), failure.error
    assert "left behind" not in failure.error


def test_every_rule_is_taken_out() -> None:
    """No rule can be added to those that can be taken out without showing that it is needed."""
    assert WITNESSES.keys() == RULES.keys()


def test_a_seed_brings_the_same_schedule_back() -> None:
    """Two processes, whose hashes differ, make of one seed the same store calls at the same times."""
    first, second = (_traces(hash_seed) for hash_seed in ("1", "2"))
    assert len(first.splitlines()) > 1000
    assert first == second


def test_turns_do_not_depend_on_the_machine() -> None:
    """If a loop gave others turns by real time, a seed would not always bring its schedule back."""
    with own_clocks(StepClock()):
        assert concurrency.clock() == concurrency.clock()


def test_a_change_of_what_is_simulated_is_searched_for_long() -> None:
    """No module that a schedule runs can change without a long search."""
    program = (
        "import sys\n"
        "import tests.simulation.many\n"
        "ours = [module for name, module in sys.modules.items() if name.startswith(('zotpy.', 'tests.simulation.'))]\n"
        "print(*(module.__file__ for module in ours if module.__file__))\n"
    )
    files = [Path(file).relative_to(ROOT) for file in _printed(program).split()]
    assert len(files) > 50
    watched = [Path(path) for path in (*SIMULATED, *IMPORTED)]
    assert [file for file in files if not any(file.is_relative_to(path) for path in watched)] == []


def _traces(hash_seed: str) -> str:
    program = (
        "from tests.simulation.schedule import Schedule\n"
        "from tests.simulation.themes import CONTINUED\n"
        "for seed in range(100, 150):\n"
        "    schedule = Schedule(seed, CONTINUED if seed % 5 == 0 else None)\n"
        "    schedule.run()\n"
        "    print(schedule.trace())\n"
    )
    return _printed(program, PYTHONHASHSEED=hash_seed)


def _printed(program: str, **environment: str) -> str:
    environment = os.environ | environment | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return run.stdout


def test_a_failure_is_told_with_its_seed_and_its_calls() -> None:
    """What fails says how to see it again, and what the store was asked."""
    failure = first_failure(range(10), without="references")
    assert failure is not None
    again = run_one(failure.seed, without="references")
    assert again == failure
    assert f"--seed {failure.seed} --without references" in str(failure)
    assert "leases/" in failure.trace
