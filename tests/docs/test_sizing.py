"""The page about sizing: its figures for one MB/s follow from the CPU seconds beside them."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import CHECKOUT

MB_A_GIB = (1 << 30) / 1e6
NUMBER = r"\d[\d,]*(?:\.\d+)?"


def numbers(cell: str) -> list[float]:
    """Return the numbers of a cell."""
    return [float(number.replace(",", "")) for number in re.findall(NUMBER, cell)]


def test_a_core_carries_what_its_seconds_allow() -> None:
    """Percent of a core for one MB/s, and MB/s for one core, are those of the CPU seconds for each GiB."""
    page = (CHECKOUT / "docs/sizing.md").read_text()
    table = page[page.index("| what a replica does |") :].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    counted = [row for row in rows if "MB/s" in row[3] and numbers(row[1])]
    assert len(counted) >= 4
    for what, seconds, percent, carries in counted:
        assert numbers(percent) == pytest.approx([one / MB_A_GIB * 100 for one in numbers(seconds)], abs=0.01), what
        expected = [MB_A_GIB / one for one in reversed(numbers(seconds))]
        assert numbers(carries) == pytest.approx(expected, rel=0.03), what
