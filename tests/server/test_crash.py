"""P1 and P2 with real processes: whatever is killed, what a model saw and a client got is in the record.

And the judge that says so is put on trial: each way of losing or altering evidence must be found by it.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from .hammer import Hammer, standing
from .hammer_clients import Told, parse
from .hammer_judge import judge_clients, judge_model
from .hammer_model import Seen
from .hammer_oracle import Evidence, Reader

ROUNDS = 10
GUARDS = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'audit_%'"

pytestmark = [pytest.mark.database, pytest.mark.timeout(900)]


def test_whatever_is_killed_the_record_has_it_all(tmp_path: Path) -> None:
    with standing(tmp_path, random.SystemRandom().randrange(1 << 32)) as hammer:
        report = hammer.run(ROUNDS)
        assert report.findings == [], str(report)
        assert report.rounds == ROUNDS <= sum(report.kills.values())
        assert report.statuses["200"] > ROUNDS and report.statuses["200 cut"] and report.witnessed
        for name, (tamper, broken) in TAMPERS.items():
            with tampered(hammer, tamper) as found:
                assert any(finding.startswith(broken) for finding in found), (name, found)
        assert hammer.judged(hammer.reader) == []
        put_the_judge_on_trial(hammer)


# --- a store that was tampered with -----------------------------------------------------------------
Do = Callable[..., list[tuple[Any, ...]]]


@contextmanager
def tampered(hammer: Hammer, tamper: Callable[[Do, Told], None]) -> Iterator[list[str]]:
    """What the judge says of a store after `tamper`, which is undone again."""
    url = hammer.house.database_url
    connection: Any
    if hammer.reader.is_sqlite:
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        for (name,) in connection.execute(GUARDS).fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
    else:
        connection = psycopg.connect(url)
        connection.execute("SET LOCAL session_replication_role = replica")

    def do(sql: str, *values: Any) -> list[tuple[Any, ...]]:
        done = connection.execute(sql if hammer.reader.is_sqlite else sql.replace("?", "%s"), values)
        return done.fetchall() if done.description else []

    try:
        tamper(do, streamed(hammer))
        yield hammer.judged(Reader(url, connection=connection))
    finally:
        connection.rollback()
        connection.close()


def streamed(hammer: Hammer) -> Told:
    """A streamed call that its client got whole."""
    for told in hammer.told:
        answer = parse(told.got)
        if told.kind == "stream" and answer is not None and answer.status == 200 and answer.whole:
            return told
    raise AssertionError("no stream came through")


def call_of(told: Told) -> str:
    answer = parse(told.got)
    assert answer is not None
    return UUID(answer.call).hex


def entry(do: Do, told: Told, kind: str) -> tuple[Any, ...]:
    """(id, stream, sequence, meta) of the first entry of this kind of a call."""
    return do(
        "SELECT id, stream_id, sequence, meta FROM audit_entry WHERE call_id = ? AND kind = ? ORDER BY id",
        call_of(told),
        kind,
    )[0]


def flipped(value: Any) -> bytes:
    data = bytes(value)
    return data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]


def delete_admission(do: Do, told: Told) -> None:
    do("DELETE FROM audit_entry WHERE id = ?", entry(do, told, "admission")[0])


def delete_segment(do: Do, told: Told) -> None:
    do("DELETE FROM audit_entry WHERE id = ?", entry(do, told, "segment")[0])


def cut_off_the_tail(do: Do, told: Told) -> None:
    """No gap is left: only the comparison with model and clients can tell."""
    _, stream, sequence, _ = entry(do, told, "segment")
    do("DELETE FROM audit_entry WHERE stream_id = ? AND sequence >= ?", stream, sequence)


def cut_off_the_tail_with_an_admission(do: Do, told: Told) -> None:
    _, stream, sequence, _ = entry(do, told, "admission")
    do("DELETE FROM audit_entry WHERE stream_id = ? AND sequence >= ?", stream, sequence)


def change_an_entry(do: Do, told: Told) -> None:
    number, _, _, meta = entry(do, told, "admission")
    do("UPDATE audit_entry SET meta = ? WHERE id = ?", bytes(meta).replace(b"alice", b"alina"), number)


def change_a_payload(do: Do, told: Told) -> None:
    number = entry(do, told, "segment")[0]
    ((sealed,),) = do("SELECT sealed FROM audit_payload WHERE id = ?", number)
    do("UPDATE audit_payload SET sealed = ? WHERE id = ?", flipped(sealed), number)


def delete_a_payload(do: Do, told: Told) -> None:
    do("DELETE FROM audit_payload WHERE id = ?", entry(do, told, "segment")[0])


def delete_a_key(do: Do, told: Told) -> None:
    do("DELETE FROM audit_callkey WHERE id = ?", call_of(told))


def change_a_row(do: Do, told: Told) -> None:
    do("UPDATE audit_call SET sent_digest = ? WHERE id = ?", bytes(32), call_of(told))


def delete_a_row(do: Do, told: Told) -> None:
    do("DELETE FROM audit_call WHERE id = ?", call_of(told))


def write_down_a_leak(do: Do, told: Told) -> None:
    do("UPDATE audit_call SET model = ? WHERE id = ?", "4000056655665556", call_of(told))


TAMPERS: dict[str, tuple[Callable[[Do, Told], None], str]] = {
    "an admission is deleted": (delete_admission, "P1 the model saw"),
    "the gap is seen as well": (delete_admission, "P15 stream"),
    "a segment is deleted": (delete_segment, "P2 the client"),
    "the tail is cut off": (cut_off_the_tail, "P2 the client"),
    "the tail is cut off with an admission": (cut_off_the_tail_with_an_admission, "P1 the model saw"),
    "an entry is changed": (change_an_entry, "P15 stream"),
    "a payload is changed": (change_a_payload, "P15 the payload"),
    "a payload is deleted": (delete_a_payload, "P2 the payload"),
    "a key is deleted": (delete_a_key, "P2 the key"),
    "a call's row is changed": (change_a_row, "P1 the row"),
    "a call's row is deleted": (delete_a_row, "P1 call"),
    "a leak is written down": (write_down_a_leak, "P7 table audit_call"),
}


# --- a gateway that did what it must not ------------------------------------------------------------
def put_the_judge_on_trial(hammer: Hammer) -> None:
    """Nothing is wrong with the store here: model and clients tell of more than it holds."""
    evidence = Evidence(hammer.reader, hammer.house.keys)
    evidence.read()
    saw, told = hammer.log.whole, streamed(hammer)
    stranger = Seen(b"POST / HTTP/1.1\r\n\r\n", b"{}", 2)
    beginning = Seen(saw[0].head, b'{"nobody"', 9_999)
    assert judge_model(evidence, saw, []) == []
    assert judge_model(evidence, [*saw, saw[0]], [])[0].startswith("P1 the model saw 2 requests")
    assert judge_model(evidence, [*saw, stranger], [])[0].startswith("P1 the model saw 1 requests")
    assert judge_model(evidence, saw, [beginning])[0].startswith("P1 the model saw the beginning")
    more = bytearray(told.got).replace(b"0\r\n\r\n", b"5\r\nextra\r\n0\r\n\r\n")
    assert any(f.startswith("P2") for f in judge_clients(evidence, [Told("stream", told.nonce, more)]))
    cut = bytearray(told.got).replace(b"data: [DONE]\n\n", b'data: {"a":1}\n\n')
    assert any(f.startswith("P13") for f in judge_clients(evidence, [Told("stream", told.nonce, cut)]))
    unknown = bytearray(told.got).replace(b"x-postern-call", b"x-postern-none")
    assert any(f.startswith("P2") for f in judge_clients(evidence, [Told("stream", told.nonce, unknown)]))
