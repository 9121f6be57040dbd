"""A run in which clients finished nothing is repeated for a longer time, as on a busy machine or over slow links."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from bench.cluster import measuring
from bench.cluster.measuring import LONGER, measure_something
from bench.cluster.options import Options
from bench.cluster.runs import Run


def nothing() -> Run:
    """Return a run in which nothing was finished."""
    return Run("zotpy", 1, "push", "MB/s", "1", 3, 8.0, throughput=0.0, mb_per_s=0.0, operations_per_s=0.0)


@pytest.mark.parametrize(
    ("outcomes", "count"),
    [
        ([replace(nothing(), operations_per_s=1.0)], 1),
        ([replace(nothing(), errors=["refused"])], 1),
        ([replace(nothing(), lost=["a blob"])], 1),
        ([nothing(), replace(nothing(), operations_per_s=1.0)], 2),
        ([replace(nothing(), throughput=1.0), replace(nothing(), operations_per_s=1.0)], 2),  # parts of an image
        ([nothing(), nothing(), nothing()], 1 + len(LONGER)),
    ],
)
def test_it_is_repeated_until_something_is_measured(
    monkeypatch: pytest.MonkeyPatch, outcomes: list[Run], count: int
) -> None:
    """Each repetition pushes other content, as a registry does not take the same content twice. Errors end it."""
    left, asked = list(outcomes), []

    def measure(*arguments: Any) -> Run:
        asked.append(arguments[3])
        return left.pop(0)

    monkeypatch.setattr(measuring, "measure", measure)
    options = Options(duration_s=0.5)
    found = measure_something(cast("Any", None), cast("Any", None), "push", options, lambda _: None)
    assert found is outcomes[-1]
    assert [one.duration_s for one in asked] == [0.5 * times for times in (1, *LONGER)][:count]
    assert len({one.seed for one in asked}) == count
