from __future__ import annotations

from zotpy.restarts import CALM_S, FIRST_DELAY_S, LONGEST_DELAY_S, Restarts


def test_delays_grow_up_to_a_bound() -> None:
    """What ends at once again and again is started again ever later, but never later than the bound."""
    restarts = Restarts()
    delays = [restarts.delay_s(0.0) for _ in range(10)]
    assert delays[:3] == [FIRST_DELAY_S, 2 * FIRST_DELAY_S, 4 * FIRST_DELAY_S]
    assert delays[-1] == LONGEST_DELAY_S
    assert delays == sorted(delays)


def test_a_calm_time_is_a_new_beginning() -> None:
    """What ran for long is started again soon."""
    restarts = Restarts()
    for _ in range(10):
        restarts.delay_s(0.0)
    assert restarts.delay_s(CALM_S + 1) == FIRST_DELAY_S
