"""P7: what the engine masks is kept of no search, whatever criterion it was typed into."""

from __future__ import annotations

import pytest

from audit.search.indexing import terms_derive
from audit.search.selection import FACTS, SelectionError
from audit.search.typed import typed
from audit.walls import EVERYWHERE
from tests.audit.closed import closed_call, derived

pytestmark = pytest.mark.django_db(transaction=True)

MAIL = "Jane.Roe@example.com"
FOLDED = {
    "AKIAIOSFODNN7EXAMPLQ": "AWS_ACCESS_KEY",
    "DE89 3704 0044 0532 0130 00": "IBAN",
    "sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789": "OPENAI_KEY",
}
"""Values that a detector does not know again as they are compared: without case, some cut into words."""


def refusal(kind: str, value: str, areas: frozenset[str] | None = EVERYWHERE) -> str:
    with pytest.raises(SelectionError) as refused:
        typed({kind: value}, areas)
    return str(refused.value)


@pytest.mark.parametrize("kind", ["words", *FACTS])
def test_a_value_is_refused_in_every_criterion(kind: str) -> None:
    said = refusal(kind, f"of {MAIL}")
    assert "what the record masks (EMAIL)" in said and "jane" not in said.lower()


@pytest.mark.parametrize("kind", ["words", "model"])
@pytest.mark.parametrize("value", FOLDED)
def test_it_is_looked_for_as_it_was_typed(kind: str, value: str) -> None:
    assert f"({FOLDED[value]})" in refusal(kind, value)


def test_what_a_call_has_in_clear_may_be_asked_for_where_it_may_be_seen() -> None:
    derived(terms_derive, closed_call(name=MAIL, area="clinic"))
    for areas in (EVERYWHERE, frozenset({"clinic", "lab"})):
        assert typed({"caller": MAIL}, areas).selection.of("caller") == MAIL.lower()
    for kind, areas in (("caller", frozenset({"lab"})), ("caller", frozenset[str]()), ("model", EVERYWHERE)):
        refusal(kind, MAIL, areas)
    refusal("caller", f"{MAIL}.org")


def test_what_the_record_does_not_mask_is_kept_as_it_is() -> None:
    question = typed({"words": "Fever, Zürich", "model": "Demo", "since": "2026-01-01"}, EVERYWHERE)
    assert question.words is not None and question.words.data.decode() == "Fever, Zürich"
    assert question.selection.words == ("fever", "zurich") and question.selection.of("model") == "demo"
    assert typed({}, EVERYWHERE).words is None
