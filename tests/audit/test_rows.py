"""Rows and metadata: what is remembered between calls must never show in another's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit import ids, rows, store
from audit.records import Close, Decision, What, Who
from audit.rows import Forms
from audit.store_postgresql import PostgreSQLDialect
from audit.store_sqlite import SQLiteDialect

from .world import ALICE, BOB, DONE, asks

MOMENT = 1_795_000_000_000


def forms() -> Forms:
    return Forms(SQLiteDialect(), instance="1" * 32, stream="2" * 32, epoch=7)


def shown(made: Forms, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """An admission's metadata and its columns by name."""
    meta, row = made.admission(asks(**changes), "3" * 32)
    columns = dict(zip(list(store.CALL)[2:], row, strict=True))
    return json.loads(meta), columns


def test_what_is_remembered_is_the_callers_own() -> None:
    made = forms()
    for who in (ALICE, BOB, ALICE):
        meta, columns = shown(made, who=who)
        assert meta["who"]["name"] == columns["name"] == who.name
        assert json.loads(columns["groups"]) == meta["who"]["groups"] == list(who.groups)
    for counts in ({"EMAIL": 1}, {"EMAIL": 2}, {}):
        meta, columns = shown(made, decision=Decision(action="masked", counts=counts))
        assert meta["decision"]["counts"] == json.loads(columns["counts"]) == counts
    assert meta["epoch"] == 7 and meta["session"] == columns["session_id"] == "3" * 32


def test_metadata_is_canonical() -> None:
    meta, _ = forms().admission(asks(), None)
    told = json.loads(meta)
    assert list(told) == sorted(told) and told["session"] is None and told["v"] == rows.VERSION
    assert meta != forms().admission(asks(), None)[0]  # other digests
    admission = asks()
    assert forms().admission(admission, None) == forms().admission(admission, None)


def test_a_close_says_everything_it_was_given() -> None:
    close = Close(
        action="masked",
        status=200,
        complete=True,
        finish_reason="x" * 100,
        input_tokens=None,
        output_tokens=3,
        response_counts={"EMAIL": 2},
        timings={"total": 1.5},
        extra={"why": "not"},
    )
    meta, row = forms().close(close, parts=4, at="now")
    told = json.loads(meta)
    assert told["parts"] == 4 and told["v"] == rows.VERSION
    said = [name for name in Close.__slots__ if name != "fingerprints"]  # those go to their index alone
    assert told["close"] == {name: getattr(close, name) for name in said}
    columns = dict(zip(store.END, row, strict=True))
    assert columns["finish_reason"] == "x" * 64 and columns["input_tokens"] is None
    assert json.loads(columns["timings"]) == {"total": 1.5}


@pytest.mark.parametrize("text", ["lone \ud800 surrogate", "nul\0nul"])
def test_odd_text_is_escaped_in_every_part(text: str) -> None:
    meta, columns = shown(forms(), who=Who(name=text, groups=(text,)), what=What(model=text))
    assert meta["who"]["name"] == meta["what"]["model"] == text
    assert json.loads(columns["groups"]) == [text]
    end, _ = forms().close(Close(action="failed", status=0, complete=False, code=text), parts=0, at=None)
    assert json.loads(end)["close"]["code"] == text


def test_strangers_do_not_fill_the_memory() -> None:
    made: list[str] = []

    def form(value: str) -> rows.Form:
        made.append(value)
        return value.encode(), ()

    memory = rows.Remembered(str, form)
    assert memory.form("a") == memory.form("a") == (b"a", ())
    assert made == ["a"]
    for number in range(5000):
        memory.form(str(number))
    assert len(memory._forms) <= 1000
    memory.form("x" * 10_000)
    assert "x" * 10_000 not in memory._forms


@pytest.mark.parametrize("milliseconds", [MOMENT, MOMENT + 7, MOMENT + 999, MOMENT + 1000, MOMENT - 1])
def test_moments_are_written_as_django_writes_them(milliseconds: int) -> None:
    sqlite, postgresql = SQLiteDialect(), PostgreSQLDialect()
    for warm in (MOMENT, milliseconds):
        sqlite.time(warm)
        postgresql.time(warm)
    moment = ids.moment(milliseconds)
    assert sqlite.time(milliseconds) == str(moment.replace(tzinfo=None))
    assert type(moment).fromisoformat(postgresql.time(milliseconds)) == moment


def test_a_flag_is_a_number_in_the_row_and_a_word_in_the_metadata() -> None:
    meta, row = forms().close(DONE, parts=1, at="now")
    assert row[:5] == ("now", "masked", "", 200, 1)
    assert b'"complete":true' in meta
