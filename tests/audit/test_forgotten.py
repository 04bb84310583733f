"""After an erasure nothing of what was said is left anywhere: not in a table, in an index, in a file, in a
backup that is brought back. Looked for by whoever has every key that there still is.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.apps import apps
from django.conf import settings
from django.db import connection

from audit import crypto, ids, indexing
from audit.blinding import blind
from audit.deriving import New
from audit.exporting import keeping, working
from audit.exporting.files import Place
from audit.exporting.taking_back import exports_take_back
from audit.flagged import acts, listing
from audit.flagged.acts import Missed
from audit.flagged.collecting import flags_derive
from audit.keynames import start_of
from audit.keys import KeyDirectory
from audit.models import (
    Call,
    CallKey,
    Entry,
    Fingerprint,
    Flag,
    FlagAct,
    FlagLabel,
    Job,
    Original,
    Payload,
    Session,
    Word,
)
from audit.models.flag import Outcome
from audit.recorder import Recorder
from audit.records import Recordable, SealedOriginal
from audit.retention import erasure, rekeying, removing
from audit.search.dayskeys import derived
from audit.search.indexing import terms_derive
from audit.search.terms import word_digest
from audit.walls import EVERYWHERE
from tests.stored import stored

from .kept import VALUE, Backup, ago, calls_on, erase, hold, readable, request, retain, rule, verified
from .test_exports import ask, auditor
from .test_flagged import DAVE, FAY
from .world import ALICE, BOB, broken

WORD = "zebrafinch"
SAID = Recordable(json.dumps({"messages": [{"content": f"about the {WORD}"}]}).encode())
SEALED = SealedOriginal(of="request", key="originals-1", size=9, sealed=b"nobody here opens this")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "AUDIT_EXPORT_DIR", tmp_path / "exports")
    return tmp_path / "exports"


@pytest.fixture
def dave(transactional_db: None) -> Any:
    """Audits everywhere."""
    return auditor("dave")


def said_by(recorder: Recorder, who: Any, *days: int) -> list[Call]:
    """Calls that hold the word, with a view, an original, and all that is derived from them."""
    made = calls_on(recorder, *days, who=who, request=SAID, view=SAID, original=SEALED)
    terms_derive(New(closed=made, events=[]))()
    return made


# --- whoever has every key ----------------------------------------------------------------------------
def every_key(keys: KeyDirectory) -> list[bytes]:
    return [path.read_bytes() for path in sorted(keys._path.glob("*.key"))]


def opened(call: Call, keys: KeyDirectory) -> Iterator[bytes]:
    """What any of these keys opens of this call, from whatever is stored of it."""
    own = [key for row in CallKey.objects.filter(id=call.id) for key in _unwrapped(row, every_key(keys))]
    for entry in Entry.objects.filter(call_id=call.id).exclude(payload_digest=b""):
        place = crypto.payload_place(call.id.bytes, entry.sequence, entry.kind)
        sealed = [
            bytes(row.sealed)
            for model in (Payload, Original)
            for row in model._default_manager.filter(id=entry.id)
        ]
        for key in own:
            for each in sealed:
                try:
                    plain = crypto.unseal(AESGCM(key), each, place)
                except crypto.SealError:
                    continue
                yield plain if entry.kind == "original" else crypto.unpack(plain)[1]


def _unwrapped(row: CallKey, known: list[bytes]) -> Iterator[bytes]:
    for key in known:
        try:
            yield crypto.unseal(
                AESGCM(key), bytes(row.wrapped), crypto.key_place(row.id.bytes, row.wrapped_by)
            )
        except (crypto.SealError, InvalidTag):
            continue


def pointing_at(call: Call, keys: KeyDirectory) -> list[str]:
    """Index rows that anybody with these keys can tell to be of the value, or of the word."""
    known = every_key(keys)
    blocks = {VALUE[:16], *(block for key in known for block in blind(key, [VALUE[:16]]))}
    digests = {word_digest(derived(key), WORD) for key in known}
    found = ["value" for row in Fingerprint.objects.filter(call_id=call.id) if bytes(row.digest) in blocks]
    return found + ["word" for row in Word.objects.filter(call_id=call.id, digest__in=digests)]


def exported(directory: Path) -> bytes:
    """Whatever lies in the exports' directory, unpacked."""
    found = b""
    for path in sorted(directory.rglob("*")) if directory.exists() else ():
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                found += b"".join(archive.read(name) for name in archive.namelist())
        elif path.is_file():
            found += path.read_bytes()
    return found


def left_of(call: Call, keys: KeyDirectory, directory: Path) -> list[str]:
    """Every trace of what this call said."""
    return [
        *("payload" for plain in opened(call, keys) if WORD.encode() in plain),
        *("original" for plain in opened(call, keys) if plain == SEALED.sealed),
        *pointing_at(call, keys),
        *(["export"] if str(call.id).encode() in exported(directory) else []),
    ]


def test_nothing_of_an_erased_caller_is_left_in_the_store_in_files_or_in_a_backup(
    recorder: Recorder, keys: KeyDirectory, dave: Any, directory: Path
) -> None:
    (gone,), (stays,) = said_by(recorder, ALICE, 9), said_by(recorder, BOB, 9)
    of_both = ask(dave, payloads=True)
    working.sweep()
    whole = {"payload", "original", "value", "word", "export"}
    assert set(left_of(gone, keys, directory)) == set(left_of(stays, keys, directory)) == whole
    assert exported(directory).count(WORD.encode()) >= 2
    before = Backup.made()

    request(callers=(UUID(str(ALICE.person_id)),), until=start_of(ago(3)))
    assert erasure.sweep() == 1
    assert left_of(gone, keys, directory) == []  # at once
    rekeying.sweep(keys)
    assert left_of(gone, keys, directory) == []
    assert set(left_of(stays, keys, directory)) == whole - {"export"}
    of_both.refresh_from_db()
    assert of_both.result is not None and of_both.result["ended"] == "erased"
    raw = stored()
    for needle in (WORD.encode(), VALUE, VALUE.hex().encode(), VALUE[:16].hex().encode()):
        assert needle not in raw
    assert verified() == "" and list(broken()) == []

    before.restore()
    assert (
        CallKey.objects.filter(id=gone.id).exists() and Fingerprint.objects.filter(call_id=gone.id).exists()
    )
    assert left_of(gone, keys, directory) == []
    assert WORD.encode() not in stored()
    assert not readable(gone)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL gives pages back when it vacuums")
def test_the_pages_of_the_database_hold_none_of_it_either(recorder: Recorder, keys: KeyDirectory) -> None:
    gone, stays = calls_on(recorder, 9, 9)
    of_gone, of_stays = sealed_of(gone), sealed_of(stays)
    assert len(of_gone) == len(of_stays) == 3
    assert all(each in on_disk() for each in of_gone + of_stays[:2])
    erase(gone, keys=keys)
    raw = on_disk()
    assert not any(each in raw for each in of_gone)
    assert all(each in raw for each in of_stays[:2])  # its key was wrapped anew
    assert of_stays[2] not in raw


def sealed_of(call: Call) -> list[bytes]:
    """The beginnings of its sealed payloads, and of its wrapped key."""
    entries = Entry.objects.filter(call_id=call.id).values("id")
    payloads = [bytes(row.sealed)[:24] for row in Payload.objects.filter(id__in=entries)]
    return [*payloads, bytes(CallKey.objects.get(id=call.id).wrapped)[:24]]


def on_disk() -> bytes:
    """The database's file and its log, as they lie there."""
    name = str(connection.settings_dict["NAME"])
    return b"".join(Path(each).read_bytes() for each in (name, f"{name}-wal") if Path(each).exists())


def test_what_waited_for_its_index_is_found_by_no_key_in_a_backup(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    with patch("audit.indexing.index_pending", lambda: 0):
        (gone,) = calls_on(recorder, 9)
        before = Backup.made()
    erase(gone, keys=keys)
    before.restore()
    assert indexing.index_pending() > 0 and Fingerprint.objects.filter(call_id=gone.id).exists()
    assert pointing_at(gone, keys) == []


def test_what_tied_a_conversation_together_goes_with_the_last_of_it(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    hint = b"keyed digest of its opening"
    one, two = calls_on(recorder, 9, 9, session_hint=hint)
    assert one.session_id == two.session_id
    thread = bytes(Session.objects.get(id=one.session_id).thread)
    erase(one, keys=keys)
    assert bytes(Session.objects.get(id=one.session_id).thread) == thread
    erase(two, keys=keys)
    assert bytes(Session.objects.get(id=one.session_id).thread) != thread
    assert thread not in stored()
    (later,) = calls_on(recorder, 0, session_hint=hint)
    assert later.session_id is not None and readable(later)


# --- exports ----------------------------------------------------------------------------------------
def test_an_erasure_takes_back_the_exports_that_hold_its_payloads_and_no_other(
    recorder: Recorder, keys: KeyDirectory, dave: Any, directory: Path
) -> None:
    gone, stays = calls_on(recorder, 9, 8)
    with_it = ask(dave, payloads=True)
    working.sweep()
    without = ask(dave, payloads=True, selection={"call": str(stays.id)})
    working.sweep()
    metadata = ask(auditor("fay"))
    working.sweep()
    erase(gone, keys=keys)
    states = {}
    for job in (with_it, without, metadata):
        job.refresh_from_db()
        states[job.pk] = job.state, Place(job.pk).finished.exists()
    assert states == {
        with_it.pk: ("failed", False),
        without.pk: ("done", True),
        metadata.pk: ("done", True),
    }
    done = Job.objects.get(kind="erasure").result
    assert done is not None and done["exports"] == 1
    told = [json.loads(bytes(entry.meta)) for entry in Entry.objects.filter(kind="event")]
    assert [each["about"] for each in told if each["event"] == "export.erased"] == [f"export {with_it.pk}"]
    assert exports_take_back([gone.id], lambda: None) == 0  # once


def test_an_export_under_way_is_taken_back_and_its_worker_leaves_nothing(
    recorder: Recorder, keys: KeyDirectory, dave: Any, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, *_ = calls_on(recorder, 9, 8, 7)
    monkeypatch.setattr(working, "STEP_WITH_PAYLOADS", 1)
    job = ask(dave, payloads=True)
    real, steps = working.calls_read, []

    def meanwhile(*args: Any, **said: Any) -> Any:
        read = real(*args, **said)  # it has the payload already
        steps.append(None)
        if len(steps) == 3:
            erase(gone, keys=keys)
        return read

    monkeypatch.setattr(working, "calls_read", meanwhile)
    working.sweep()
    job.refresh_from_db()
    assert job.state == "failed" and job.result is not None and job.result["ended"] == "erased"
    keeping.exports_forget()
    assert exported(directory) == b""


def test_an_export_that_nobody_can_read_is_taken_back_as_well(
    recorder: Recorder, keys: KeyDirectory, dave: Any, directory: Path
) -> None:
    (gone,) = calls_on(recorder, 9)
    job = ask(dave, payloads=True)
    working.sweep()
    Place(job.pk).finished.write_bytes(b"half a file")
    erase(gone, keys=keys)
    job.refresh_from_db()
    assert job.state == "failed" and exported(directory) == b""


# --- flags ------------------------------------------------------------------------------------------
def flagged(*calls: Call) -> None:
    """In the inbox, with a note, given to somebody, and closed."""
    for call in calls:
        call.gate, call.extra = "flag", {"request_flags": {"1": "Restricted"}}
    flags_derive(New(closed=list(calls), events=[]))()
    for call in calls:
        acts.flag_note(flag_id=call.id, by=FAY, words=Recordable(b"seen before"))
        acts.flag_assign(flag_id=call.id, turn=1, by=DAVE, to=FAY.person_id, name="fay")


def inbox(model: Any = Flag) -> set[UUID]:
    column = "id" if model is Flag else "flag_id"
    return set(model.objects.values_list(column, flat=True))


@pytest.mark.parametrize("how", ["erased", "expired", "rows"])
def test_a_flag_goes_with_what_its_call_held(recorder: Recorder, keys: KeyDirectory, how: str) -> None:
    gone, stays = calls_on(recorder, 40, 5)
    flagged(gone, stays)
    acts.flag_close(flag_id=gone.id, turn=2, by=DAVE, outcome=Outcome.MISUSE, words=Recordable(b"asked them"))
    assert (listing.open_count(EVERYWHERE), Flag.objects.count()) == (1, 2)
    if how == "erased":
        erase(gone, keys=keys)
    else:
        rule(30, 35 if how == "rows" else None)
        retain(keys)
    for model in (Flag, FlagLabel, FlagAct):
        assert inbox(model) == {stays.id}
    assert (listing.open_count(EVERYWHERE), Flag.objects.count()) == (1, 1)
    with pytest.raises(Missed, match="left the inbox"):
        acts.flag_note(flag_id=gone.id, by=FAY, words=Recordable(b"too late"))
    with pytest.raises(Missed, match="left the inbox"):
        acts.flag_reopen(flag_id=gone.id, turn=3, by=FAY, words=Recordable(b"too late"))
    flags_derive(New(closed=[gone], events=[]))()  # read before, written after
    assert inbox() == {stays.id} and not FlagAct.objects.filter(flag_id=gone.id).exists()
    events = [
        json.loads(bytes(entry.meta))["event"]
        for entry in Entry.objects.filter(call_id=gone.id, kind="event")
    ]
    assert {"flag.noted", "flag.assigned", "flag.closed"} <= set(events)  # who did what stays on the record


def test_flags_that_have_outlived_their_calls_go_with_the_upgrade(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    rowless, removed, stays = calls_on(recorder, 9, 9, 9)
    flagged(rowless, removed, stays)
    Call.objects.filter(id=rowless.id)._raw_delete("default")
    Call.objects.filter(id=removed.id).update(removal_id=ids.new())
    import_module("audit.migrations.0010_forgetting").flags_go(apps, None)
    for model in (Flag, FlagLabel, FlagAct):
        assert inbox(model) == {stays.id}


def test_a_flag_of_a_held_call_stays(recorder: Recorder, keys: KeyDirectory) -> None:
    held, gone = calls_on(recorder, 40, 40)
    flagged(held, gone)
    hold(call_id=held.id)
    rule(30)
    retain(keys)
    assert inbox() == inbox(FlagAct) == {held.id}


def test_a_flag_goes_also_where_the_rest_goes_with_its_month(recorder: Recorder, keys: KeyDirectory) -> None:
    (gone,) = calls_on(recorder, 40)
    flagged(gone)
    cause = removing.Cause(kind="expired", why="30 days", job_id=ids.new(), keys_only=True)
    assert removing.remove([gone.id], day=ago(40), area="clinic", cause=cause) == 1
    assert inbox() == inbox(FlagLabel) == inbox(FlagAct) == set()
