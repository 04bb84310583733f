"""What is derived from the record is derived once, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from audit import deriving, ids
from audit.deriving import New
from audit.events import event
from audit.models import Call, Derived, Fact, Instance, Stream, Word
from audit.recorder import Recorder
from audit.records import Recordable
from audit.search.dayskeys import key_of_day
from audit.search.terms import fact_digest, word_digest
from audit.sweeps import calls_close_lost
from tests.audit.world import ANSWER, BOB, DONE, asks, run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def called(recorder: Recorder, *parts: Recordable, **changes: Any) -> UUID:
    """One whole call."""
    asked = asks(**changes)

    async def work() -> None:
        await recorder.admit(asked)
        for part in parts or (ANSWER,):
            await recorder.segment(asked.call_id, part)
        recorder.close(asked.call_id, DONE)
        await asyncio.sleep(0.05)  # the loop hands it over

    run(work())
    return asked.call_id


def written(recorder: Recorder) -> None:
    recorder.stop(5)


def has(call_id: UUID, kind: str, value: str) -> bool:
    when = ids.time_of(call_id)
    key = key_of_day(when)
    assert key is not None
    if kind == "word":
        rows, digest = Word.objects.all(), word_digest(key, value)
    else:
        rows, digest = Fact.objects.all(), fact_digest((kind, value))
    return rows.filter(digest=digest, started_at=when, call_id=call_id).exists()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[New]:
    """What a derivation of a test's own was handed."""
    handed: list[New] = []

    def note(new: New) -> Callable[[], None]:
        return lambda: handed.append(new)

    monkeypatch.setattr(deriving, "DERIVATIONS", (*deriving.DERIVATIONS, note))
    return handed


def test_a_closed_call_is_found_by_its_words_and_facts(recorder: Recorder) -> None:
    call = called(recorder)
    written(recorder)
    deriving.derive()
    for word in ("write", "done"):
        assert has(call, "word", word)
    for kind, value in (
        ("caller", "alice"),
        ("caller", "local:alice"),
        ("group", "support"),
        ("area", "clinic"),
        ("endpoint", "chat"),
        ("model", "demo"),
        ("class", "email"),
        ("level", "confidential"),
        ("action", "masked"),
        ("rule", "1"),
        ("policy", "default@1"),
        ("status", "200"),
        ("status", "2xx"),
    ):
        assert has(call, kind, value), kind
    assert not has(call, "word", "messages")  # a key of the document is no word of it


def test_a_stream_is_indexed_by_what_it_grew_to(recorder: Recorder) -> None:
    pieces = (
        b'data: {"choices":[{"index":0,"delta":{"content":"par"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"acetamol"}}]}\n\n',
    )
    call = called(recorder, *map(Recordable, pieces))
    written(recorder)
    deriving.derive()
    assert has(call, "word", "paracetamol")
    assert not has(call, "word", "acetamol")


def test_each_call_is_handed_over_once(recorder: Recorder, seen: list[New]) -> None:
    made = {called(recorder) for _ in range(5)}
    written(recorder)
    deriving.derive()
    deriving.derive()
    assert sorted(call.id for new in seen for call in new.closed) == sorted(made)


def test_a_crash_in_the_transaction_derives_again(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, seen: list[New]
) -> None:
    call = called(recorder)
    written(recorder)

    def breaks(new: New) -> Callable[[], None]:
        def write() -> None:
            raise RuntimeError("killed")

        return write

    with monkeypatch.context() as broken:
        broken.setattr(deriving, "DERIVATIONS", (*deriving.DERIVATIONS, breaks))
        with pytest.raises(RuntimeError):
            deriving.derive()
    assert not Word.objects.exists()
    seen.clear()
    deriving.derive()
    assert [found.id for new in seen for found in new.closed] == [call]
    assert has(call, "word", "write")


def test_another_worker_at_the_same_moment_changes_nothing(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, seen: list[New]
) -> None:
    called(recorder)
    written(recorder)
    entered = False

    def meanwhile(new: New) -> Callable[[], None]:
        nonlocal entered
        if not entered:
            entered = True
            deriving.derive()  # the other one, between our reading and our writing
        return lambda: None

    monkeypatch.setattr(deriving, "DERIVATIONS", (meanwhile, *deriving.DERIVATIONS))
    deriving.derive()
    assert len([call for new in seen for call in new.closed]) == 1


def test_a_call_with_two_closes_is_handed_over_once(recorder: Recorder, seen: list[New]) -> None:
    """Its process was taken for lost, came back and closed it, too late."""
    asked = asks()

    async def work() -> None:
        await recorder.admit(asked)

    run(work())
    Instance.objects.update(heartbeat_at=ids.moment(0))
    assert calls_close_lost() == 1
    recorder.close(asked.call_id, DONE)
    written(recorder)
    deriving.derive()
    handed = [call for new in seen for call in new.closed]
    assert [(call.id, call.code) for call in handed] == [(asked.call_id, "instance_lost")]


def test_an_ended_stream_is_not_looked_at_again(recorder: Recorder) -> None:
    called(recorder)
    written(recorder)
    deriving.derive()
    assert deriving.moving() == list(Stream.objects.filter(kind="events"))
    assert Derived.objects.filter(ended=True).count() == 1


def test_a_process_that_was_silent_and_comes_back_is_followed(recorder: Recorder, seen: list[New]) -> None:
    called(recorder)
    called(recorder)  # its admission is behind the first one's close
    assert Call.objects.filter(closed_at__isnull=False).exists()
    Instance.objects.update(heartbeat_at=ids.moment(0))
    deriving.derive()
    assert Derived.objects.filter(ended=True).count() == 1
    later = called(recorder)
    written(recorder)
    Instance.objects.update(heartbeat_at=ids.now())
    deriving.derive()
    assert later in [call.id for new in seen for call in new.closed]


def test_whoever_decided_is_a_term_of_the_call(recorder: Recorder) -> None:
    call = called(recorder)
    written(recorder)
    approval = UUID(int=7)
    for name in ("approval.voted", "approval.approved"):
        event(name, by=BOB, area="clinic", about=f"approval {approval}", call_id=call)
    event("call.opened", by=BOB, area="clinic", about=f"call {call}", call_id=call)
    deriving.derive()
    assert has(call, "reviewer", "bob")
    assert has(call, "approval", str(approval))
    assert has(call, "granted", ids.now().date().isoformat())
