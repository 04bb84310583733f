"""Guarded entries: written with the one row that they rest on, or not at all."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from django.db import connection

from audit import ids
from audit.models import Call, Entry, Stream
from audit.reader import call_open
from audit.recorder import GuardFailed, Recorder, StoreUnavailable
from audit.records import Guard, Recordable, Release
from audit.store import StoreError

from .world import BOB, CHAT, DONE, MASKED, asks, broken, run

pytestmark = pytest.mark.django_db(transaction=True)

TAKE = "UPDATE audit_stream SET kind = ? WHERE id = ? AND kind = 'ticket' AND created_at <= ?"


def ticket() -> Stream:
    """A row that lets one call through: any row will do."""
    return Stream.objects.create(id=ids.new(), kind="ticket", digest=bytes(32), created_at=ids.now())


def taking(row: Stream) -> Guard:
    return Guard(TAKE, ("used", row.id, ids.now()))


def breaking(row: Stream) -> Guard:
    """The same row again."""
    return Guard(
        "INSERT INTO audit_stream (id, kind, sequence, digest, created_at) VALUES (?, 'ticket', 0, ?, ?)",
        (row.id, bytes(32), ids.now()),
    )


def test_a_ticket_lets_one_call_through(recorder: Recorder) -> None:
    guard = taking(ticket())
    first, second = asks(), asks()
    run(recorder.admit(first, guard=guard))
    with pytest.raises(GuardFailed):
        run(recorder.admit(second, guard=guard))
    assert Call.objects.filter(id=first.call_id).exists()
    assert not Entry.objects.filter(call_id=second.call_id).exists()
    assert not list(broken())


def test_of_many_at_once_one_gets_the_ticket_and_the_others_pass_unharmed(recorder: Recorder) -> None:
    row, free = ticket(), [asks() for _ in range(20)]
    guarded = [asks() for _ in range(20)]

    async def main() -> list[BaseException | None]:
        every = [recorder.admit(one) for one in free]
        every += [recorder.admit(one, guard=taking(row)) for one in guarded]
        return await asyncio.gather(*every, return_exceptions=True)

    answers = run(main())
    assert answers[:20] == [None] * 20
    assert sum(answer is None for answer in answers[20:]) == 1
    assert all(answer is None or isinstance(answer, GuardFailed) for answer in answers)
    assert Call.objects.count() == 21
    assert recorder.healthy
    assert not list(broken())


def test_many_guards_share_few_commits_and_each_gets_its_own_answer(recorder: Recorder) -> None:
    rows = [ticket() for _ in range(100)]
    before = recorder.commits

    async def main() -> list[BaseException | None]:
        every = [recorder.admit(asks(), guard=taking(row)) for row in [*rows, *rows]]
        return await asyncio.gather(*every, return_exceptions=True)

    answers = run(main())
    assert answers.count(None) == 100
    assert sum(isinstance(answer, GuardFailed) for answer in answers) == 100
    assert not Stream.objects.filter(kind="ticket").exists()
    assert Call.objects.count() == 100
    assert recorder.commits - before < 20
    assert recorder.healthy
    assert not list(broken())


def test_one_that_cannot_be_tried_or_built_takes_no_other_of_its_group_with_it(recorder: Recorder) -> None:
    over, good, mine = asks(), [ticket() for _ in range(5)], ticket()
    run(recorder.admit(over))
    recorder.close(over.call_id, DONE)
    late = Release(what=CHAT, decision=MASKED, sent_digest=b"", request=None)

    async def main() -> list[BaseException | None]:
        every = [recorder.admit(asks(), guard=taking(row)) for row in good]
        every.insert(2, recorder.admit(asks(), guard=breaking(mine)))
        every.insert(4, recorder.release(over.call_id, late, guard=taking(mine)))
        return await asyncio.gather(*every, return_exceptions=True)

    answers = run(main())
    assert isinstance(answers[2], GuardFailed) and isinstance(answers[4], StoreUnavailable)
    assert answers.count(None) == 5
    mine.refresh_from_db()
    assert mine.kind == "ticket"
    assert recorder.healthy
    assert not list(broken())


def test_a_guarded_commit_whose_answer_is_lost_is_found_in_the_store(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller was refused: what it took is used up, and the record says that nothing was sent."""
    store, rows = recorder._worker._store, [ticket() for _ in range(3)]
    real = store.commit_guarded

    def lost(*given: Any) -> None:
        real(*given)
        monkeypatch.undo()
        raise StoreError("the answer got lost")

    monkeypatch.setattr(store, "commit_guarded", lost)

    async def main() -> list[BaseException | None]:
        every = [recorder.admit(asks(), guard=taking(row)) for row in rows]
        return await asyncio.gather(*every, return_exceptions=True)

    assert all(isinstance(answer, StoreUnavailable) for answer in run(main()))
    deadline = time.monotonic() + 10
    while not recorder.healthy and time.monotonic() < deadline:
        time.sleep(0.01)
    recorder.stop(5)
    assert not Stream.objects.filter(kind="ticket").exists()
    assert Call.objects.filter(code="not_sent").count() == 3
    assert not list(broken())


def test_a_guard_that_breaks_a_constraint_refuses_its_own_call_only(recorder: Recorder) -> None:
    with pytest.raises(GuardFailed):
        run(recorder.admit(asks(), guard=breaking(ticket())))
    run(recorder.admit(asks()))
    assert Call.objects.count() == 1


def test_a_held_call_keeps_what_its_reviewers_see_and_how_it_was_released(recorder: Recorder) -> None:
    held = asks(decision=replace(MASKED, action="held", gate="hold"))
    view = Recordable(b'{"messages":[{"role":"user","content":"write to [EMAIL 1]"}]}')
    run(recorder.admit(held, view=view))
    released = replace(held.decision, action="released", approval="a1")
    release = Release(what=CHAT, decision=released, sent_digest=b"d" * 32, request=held.request)
    run(recorder.release(held.call_id, release, guard=taking(ticket())))
    recorder.close(held.call_id, DONE)
    recorder.stop(5)
    opened = call_open(call_id=held.call_id, by=BOB, areas=None)
    assert [part.kind for part in opened.parts] == ["admission", "view", "release", "close"]
    seen = opened.parts[1].payload
    assert seen is not None and seen.data == view.data
    assert not list(broken())


def test_a_call_that_is_over_is_not_released(recorder: Recorder) -> None:
    held = asks()
    run(recorder.admit(held))
    recorder.close(held.call_id, DONE)
    release = Release(what=CHAT, decision=MASKED, sent_digest=b"", request=None)
    row = ticket()
    with pytest.raises(Exception, match="not open"):
        run(recorder.release(held.call_id, release, guard=taking(row)))
    row.refresh_from_db()
    assert row.kind == "ticket"


@pytest.mark.skipif("connection.vendor != 'postgresql'")
def test_whoever_holds_the_row_keeps_one_call_waiting_and_not_the_record(recorder: Recorder) -> None:
    row, others = ticket(), [ticket() for _ in range(5)]

    async def main() -> list[BaseException | None]:
        blocked = asyncio.create_task(recorder.admit(asks(), guard=taking(row)))
        await asyncio.sleep(0)
        free = [recorder.admit(asks(), guard=taking(other)) for other in others]
        free += [recorder.admit(asks()) for _ in range(5)]
        return await asyncio.gather(blocked, *free, return_exceptions=True)

    settings = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    with psycopg.connect(**{name: settings[name] for name in names if name in settings}) as other:
        other.execute("UPDATE audit_stream SET kind = 'held' WHERE id = %s", (row.id,))
        answers = run(main())
        other.rollback()
    assert isinstance(answers[0], GuardFailed)
    assert answers[1:] == [None] * 10
