"""P1 to P3 in one process: a store that is away, locked, lost in mid-commit, or back again."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection

from audit import keys as key_files
from audit.keys import KeyDirectory
from audit.models import Call, Entry, Session
from audit.recorder import Recorder, StoreUnavailable
from audit.store import Batch, RowsRefused, Store, StoreError

from .world import ANSWER, BOB, DONE, asks, broken, run

REFUSED_WITHIN = 1.3


def store_of(recorder: Recorder) -> Store:
    return recorder._worker._store


@contextmanager
def failing(recorder: Recorder, commit: Callable[[Batch], None]) -> Iterator[None]:
    """The store's commit replaced for a while."""
    target: Any = store_of(recorder)
    real = target.commit
    target.commit = commit
    try:
        yield
    finally:
        target.commit = real


@contextmanager
def locked() -> Iterator[None]:
    """Another process holds the store."""
    settings = connection.get_connection_params()
    if connection.vendor == "sqlite":
        other = sqlite3.connect(settings["database"], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()
        return
    given = {name: value for name, value in settings.items() if name not in ("context", "cursor_factory")}
    given.pop("prepare_threshold", None)
    with psycopg.connect(**given) as holder:
        holder.execute("LOCK TABLE audit_entry IN ACCESS EXCLUSIVE MODE")
        yield
        holder.rollback()


def eventually(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_locked_store_refuses_within_its_time_and_recovers(recorder: Recorder) -> None:
    with locked():
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            run(recorder.admit(asks()))
        assert time.monotonic() - began < REFUSED_WITHIN
    run_until_recorded(recorder)
    recorder.stop(5)
    assert not Call.objects.filter(closed_at=None).exclude(name="bob").exists()
    assert list(broken()) == []


def run_until_recorded(recorder: Recorder) -> None:
    """bob asks until he is heard."""
    deadline = time.monotonic() + 5
    while True:
        try:
            run(recorder.admit(asks(BOB)))
            return
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_failed_commit_leaves_no_trace_and_no_gap(recorder: Recorder) -> None:
    run(recorder.admit(asks(BOB)))

    def full(batch: Batch) -> None:
        raise StoreError("database or disk is full")

    with failing(recorder, full):
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                run(recorder.admit(asks()))
        assert not recorder.healthy
    run_until_recorded(recorder)
    recorder.stop(5)
    assert set(Call.objects.values_list("name", flat=True)) == {"bob"}
    assert list(broken()) == []


def test_the_outage_itself_is_recorded_afterwards(recorder: Recorder) -> None:
    def full(batch: Batch) -> None:
        raise StoreError("database or disk is full")

    with failing(recorder, full):
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                run(recorder.admit(asks()))
    eventually(lambda: recorder.healthy)
    recorder.stop(5)
    metas = [bytes(entry.meta) for entry in Entry.objects.filter(kind="event")]
    assert any(b'"event":"store.outage"' in meta and b'"refused":3' in meta for meta in metas)


def test_while_the_store_is_away_callers_are_refused_at_once(recorder: Recorder) -> None:
    with locked():
        with pytest.raises(StoreUnavailable):
            run(recorder.admit(asks()))
        eventually(lambda: not recorder.healthy)
        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(StoreUnavailable):
                run(recorder.admit(asks()))
        assert time.monotonic() - began < 0.5
    eventually(lambda: recorder.healthy)
    run(recorder.admit(asks(BOB)))


def test_closes_wait_for_the_store(recorder: Recorder) -> None:
    admission = asks()
    run(recorder.admit(admission))

    def full(batch: Batch) -> None:
        raise StoreError("database or disk is full")

    with failing(recorder, full):
        recorder.close(admission.call_id, DONE)
        eventually(lambda: not recorder.healthy)
    eventually(lambda: Call.objects.get().closed_at is not None)
    assert Call.objects.get().complete
    recorder.stop(5)
    assert Entry.objects.filter(kind="close").count() == 1
    assert list(broken()) == []


def test_a_commit_whose_answer_was_lost_is_not_taken_for_a_failure(recorder: Recorder) -> None:
    real = store_of(recorder).commit

    def lost(batch: Batch) -> None:
        real(batch)
        raise StoreError("connection lost")

    admission = asks()
    with failing(recorder, lost), pytest.raises(StoreUnavailable):
        run(recorder.admit(admission))
    eventually(lambda: Call.objects.filter(id=admission.call_id, code="not_sent").exists())
    run_until_recorded(recorder)
    recorder.stop(5)
    call = Call.objects.get(id=admission.call_id)
    assert (call.complete, call.status) == (False, 0)
    assert list(broken()) == []


def test_a_close_in_a_commit_whose_answer_was_lost_is_written_once(recorder: Recorder) -> None:
    admission = asks()
    run(recorder.admit(admission))
    real = store_of(recorder).commit

    def lost(batch: Batch) -> None:
        real(batch)
        raise StoreError("connection lost")

    with failing(recorder, lost):
        recorder.close(admission.call_id, DONE)
        eventually(lambda: not recorder.healthy)
    run_until_recorded(recorder)
    recorder.stop(5)
    assert Entry.objects.filter(call_id=admission.call_id, kind="close").count() == 1
    assert list(broken()) == []


def test_one_bad_record_does_not_fail_its_neighbours(recorder: Recorder) -> None:
    real = store_of(recorder).commit
    bad = asks()

    def picky(batch: Batch) -> None:
        if any(entry[8] == bad.call_id.hex for entry in batch.entries):
            raise RowsRefused("value too long")
        real(batch)

    async def crowd() -> list[Any]:
        good = [recorder.admit(asks(BOB)) for _ in range(10)]
        return await asyncio.gather(recorder.admit(bad), *good, return_exceptions=True)

    with failing(recorder, picky):
        refused, *rest = run(crowd())
    assert isinstance(refused, StoreUnavailable) and rest == [None] * 10
    assert recorder.healthy
    recorder.stop(5)
    assert Session.objects.count() == 1
    assert list(broken()) == []


def test_a_store_that_never_answers_refuses_in_time(recorder: Recorder) -> None:
    admission = asks()
    run(recorder.admit(admission))
    real = store_of(recorder).commit

    def slow(batch: Batch) -> None:
        time.sleep(2.2)
        real(batch)

    async def crowd() -> list[Any]:
        late = recorder.segment(admission.call_id, ANSWER)
        return await asyncio.gather(recorder.admit(asks()), late, return_exceptions=True)

    with failing(recorder, slow):
        began = time.monotonic()
        assert all(isinstance(found, StoreUnavailable) for found in run(crowd()))
        assert time.monotonic() - began < REFUSED_WITHIN
        eventually(lambda: not recorder.healthy)  # it is stuck
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            run(recorder.admit(asks()))
        assert time.monotonic() - began < 0.1  # and nobody queues for it
        eventually(lambda: recorder.healthy)
    recorder.stop(5)
    lost = Call.objects.exclude(id=admission.call_id)
    assert all(call.code == "not_sent" for call in lost)
    assert list(broken()) == []


def test_no_key_no_record(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: KeyDirectory, *args: object) -> None:
        raise key_files.KeysUnavailable("the directory is gone")

    monkeypatch.setattr(KeyDirectory, "day", gone)
    with pytest.raises(StoreUnavailable):
        run(recorder.admit(asks()))
    monkeypatch.undo()
    run_until_recorded(recorder)
    assert list(broken()) == []


def test_another_stores_keys_are_refused(
    recorder: Recorder, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    strange = Recorder(keys=KeyDirectory.make(tmp_path / "other"))
    strange.start()
    assert not strange.healthy
    with pytest.raises(StoreUnavailable):
        run(strange.admit(asks()))
    strange.stop(0.1)
    assert "another store's keys" in caplog.text


def test_a_burst_of_new_conversations_is_recorded(recorder: Recorder) -> None:
    """More new sessions at once than one statement takes."""

    async def burst() -> list[Any]:
        calls = [recorder.admit(asks(session_hint=number.to_bytes(16, "big"))) for number in range(600)]
        return await asyncio.gather(*calls, return_exceptions=True)

    assert run(burst()) == [None] * 600
    recorder.stop(5)
    assert Session.objects.count() == 600
    assert list(broken()) == []


def test_an_outage_leaves_no_heap_of_heartbeats(recorder: Recorder) -> None:
    def full(batch: Batch) -> None:
        raise StoreError("database or disk is full")

    with failing(recorder, full):
        with pytest.raises(StoreUnavailable):
            run(recorder.admit(asks()))
        time.sleep(1)
    run_until_recorded(recorder)
    recorder.stop(5)
    assert Entry.objects.filter(kind="heartbeat").count() <= 2
    assert list(broken()) == []
