"""With very many calls no page of the auditors reads a large table from one end to the other."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from audit.keys import KeyDirectory
from audit.search import facets
from audit.search.facets import MOST
from audit.search.finding import Found, found
from audit.search.selection import selection_of
from audit.walls import EVERYWHERE, Areas
from bench import evidence
from bench.traffic import seed

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.timeout(600),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="plans are PostgreSQL's"),
]

CALLS = 200_000


@pytest.fixture
def asks(transactional_db: None) -> dict[str, Any]:
    KeyDirectory.make(settings.AUDIT_KEY_DIR)
    evidence.people()
    seed(CALLS)
    return evidence.pages()


def patiently(title: str, areas: Areas = EVERYWHERE) -> Found:
    return found(selection_of(evidence.SEARCHES[title]), areas, patience=60)


def summary_of_all(title: str) -> facets.Summary:
    return facets.summary(selection_of(evidence.SEARCHES[title]), EVERYWHERE)


def test_every_page_and_search_goes_by_an_index(asks: dict[str, Any]) -> None:
    assert connection.vendor == "postgresql"
    bad = {title: problems for title, ask in asks.items() if (problems := evidence.whole_reads(ask))}
    assert bad == {}
    assert len(patiently("a word in twenty calls").calls) == 20
    assert patiently("two words that never meet") == Found([])
    assert len(patiently("a word in every second call", frozenset({"tiny"})).calls) == 50
    assert summary_of_all("nothing asked").calls == MOST
    for title in ("a word in every hundredth call", "two words"):
        sums = summary_of_all(title)
        assert (sums.calls, sums.whole, sum(bar.calls for bar in sums.bars)) == (2_000, True, 2_000)
