"""Every line of `verdicts.txt` holds, in the exchange that the data path calls."""

from __future__ import annotations

import pytest

from .verdict_table import Row, outcome, rows

ROWS = list(rows())


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_verdict_is_as_written(row: Row) -> None:
    assert outcome(row) == row.expected


def test_the_table_is_large_and_says_nothing_twice() -> None:
    cases = [(row.rules, row.text, row.declared, row.besides, row.mode) for row in ROWS]
    assert len(set(cases)) == len(cases) >= 150
