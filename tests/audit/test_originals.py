"""Sealed originals: who can open them, what binds them, and that they go when they have to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.core.management import CommandError, call_command
from django.db import Error, connection, transaction

from audit import crypto, hybrid, ids, originals, reader
from audit.crypto import SealError
from audit.hybrid import PublicKey
from audit.models import Call, CallKey, Entry, Original, Payload, Reveal
from audit.recorder import Recorder, StoreUnavailable
from audit.records import SealedOriginal, Who

from .world import ANSWER, DONE, asks, broken, run

CANARY = b'{"messages":[{"role":"user","content":"my card is 4111 1111 1111 1111"}]}'
REPLY = b'{"choices":[{"message":{"content":"kept 4111 1111 1111 1111"}}]}'
CAROL = Who(person_id=uuid4(), subject="local:carol", name="carol", kind="person")
DAVE = Who(person_id=uuid4(), subject="local:dave", name="dave", kind="person")


@pytest.fixture
def public(tmp_path: Path, settings: Any) -> PublicKey:
    """What gateways know; the private half lies where originals are read."""
    settings.AUDIT_ORIGINALS_KEY_DIR = str(tmp_path / "private")
    _, made = originals.private_key_make(tmp_path / "private")
    return made


def sealed(public: PublicKey, call: UUID, of: str, data: bytes) -> SealedOriginal:
    return SealedOriginal(of, public.name, len(data), public.seal(call, of, data))


def kept(recorder: Recorder, public: PublicKey) -> Call:
    """A whole call whose originals were kept."""
    number = ids.new()
    admission = asks(call_id=number, original=sealed(public, number, "request", CANARY))

    async def ask() -> None:
        await recorder.admit(admission)
        answer = sealed(public, number, "response", REPLY)
        await recorder.segment(number, ANSWER, final=True, original=answer)
        recorder.close(number, DONE)

    run(ask())
    recorder.stop(5)
    return Call.objects.get(id=number)


def allowed(call: Call) -> Reveal:
    return originals.reveal_make(
        call=call, person_id=CAROL.person_id or uuid4(), by=DAVE, proposal_id=uuid4()
    )


def looked(call: Call) -> tuple[originals.Opened, ...]:
    return originals.originals_open(call, allowed(call), CAROL, ids.now())


def named(event: str) -> list[bytes]:
    """What the events of this name say."""
    events = Entry.objects.filter(kind="event").order_by("id").values_list("meta", flat=True)
    return [meta for meta in map(bytes, events) if f'"{event}"'.encode() in meta]


# --- sealing ------------------------------------------------------------------------------------------
@pytest.fixture
def private() -> X25519PrivateKey:
    return X25519PrivateKey.generate()


def of(private: X25519PrivateKey) -> PublicKey:
    return PublicKey(private.public_key().public_bytes_raw())


@pytest.mark.parametrize("data", [b"", b"x", CANARY, CANARY * 1000])
def test_what_is_sealed_opens_with_the_private_key(private: X25519PrivateKey, data: bytes) -> None:
    call = ids.new()
    assert hybrid.opened(private, call, "request", of(private).seal(call, "request", data)) == data


def test_it_opens_for_no_other_key_call_or_payload(private: X25519PrivateKey) -> None:
    call, other = ids.new(), ids.new()
    made = of(private).seal(call, "request", CANARY)
    for key, number, part in (
        (X25519PrivateKey.generate(), call, "request"),
        (private, other, "request"),
        (private, call, "response"),
    ):
        with pytest.raises(SealError):
            hybrid.opened(key, number, part, made)


def test_no_changed_byte_goes_unnoticed(private: X25519PrivateKey) -> None:
    call = ids.new()
    made = of(private).seal(call, "request", b"data")
    for place in range(len(made)):
        changed = made[:place] + bytes([made[place] ^ 1]) + made[place + 1 :]
        with pytest.raises(SealError):
            hybrid.opened(private, call, "request", changed)
    with pytest.raises(SealError):
        hybrid.opened(private, call, "request", made[:40])


def test_the_same_text_never_looks_the_same(private: X25519PrivateKey) -> None:
    call = ids.new()
    assert of(private).seal(call, "request", CANARY) != of(private).seal(call, "request", CANARY)


@pytest.mark.parametrize("text", ["x", "AAAA", "Zm9v", "ü", "A" * 44])
def test_what_is_no_key_is_refused_where_it_is_read(text: str) -> None:
    with pytest.raises(ValueError, match="X25519"):
        PublicKey.read(text)


# --- sealing what comes bit by bit -----------------------------------------------------------------------
PIECES = [b"", b"x", CANARY, CANARY * 1000, bytes(hybrid.PIECE), bytes(hybrid.PIECE + 1)]


def in_pieces(public: PublicKey, call: UUID, *pieces: bytes) -> bytes:
    made = public.sealing(call, "response")
    for piece in pieces:
        made.take(piece)
    return made.end()


@pytest.mark.parametrize("pieces", [[], *[[each] for each in PIECES], PIECES, [CANARY] * 3000])
def test_what_came_bit_by_bit_opens_as_a_whole(private: X25519PrivateKey, pieces: list[bytes]) -> None:
    call = ids.new()
    made = in_pieces(of(private), call, *pieces)
    assert CANARY not in made and hybrid.sealed_to(made) == of(private).name
    assert hybrid.opened(private, call, "response", made) == b"".join(pieces)


def test_it_opens_for_no_other_call_either(private: X25519PrivateKey) -> None:
    call = ids.new()
    made = in_pieces(of(private), call, CANARY)
    for key, number, part in (
        (X25519PrivateKey.generate(), call, "response"),
        (private, ids.new(), "response"),
        (private, call, "request"),
    ):
        with pytest.raises(SealError):
            hybrid.opened(key, number, part, made)


def test_no_piece_can_be_cut_off_moved_or_repeated(private: X25519PrivateKey) -> None:
    call, noise = ids.new(), os.urandom(hybrid.PIECE)
    made = in_pieces(of(private), call, noise, noise, b"the end")
    head, pieces, at = made[:41], [], 41
    while at < len(made):
        end = at + 4 + int.from_bytes(made[at : at + 4], "big")
        pieces.append(made[at:end])
        at = end
    assert len(pieces) == 3
    one, two, last = pieces
    assert hybrid.opened(private, call, "response", b"".join([head, one, two, last]))
    for some in ([one, two], [one], [], [two, one, last], [one, one, two, last], [one, last], [last]):
        with pytest.raises(SealError):
            hybrid.opened(private, call, "response", b"".join([head, *some]))


def test_no_changed_byte_of_a_piece_goes_unnoticed(private: X25519PrivateKey) -> None:
    call = ids.new()
    made = in_pieces(of(private), call, b"data")
    for place in range(len(made)):
        with pytest.raises(SealError):
            changed = made[:place] + bytes([made[place] ^ 1]) + made[place + 1 :]
            hybrid.opened(private, call, "response", changed)
        with pytest.raises(SealError):
            hybrid.opened(private, call, "response", made[:place])


def test_no_more_than_a_piece_waits_in_clear(private: X25519PrivateKey) -> None:
    made = of(private).sealing(ids.new(), "response")
    for _ in range(200_000):
        made.take(CANARY)
    assert made.held < hybrid.PIECE + 200_000 * len(CANARY) // 10
    assert CANARY not in bytes(made._sealed)
    assert len(made._waits) < hybrid.PIECE


# --- the record ---------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_an_original_is_an_entry_of_the_chain(recorder: Recorder, public: PublicKey) -> None:
    call = kept(recorder, public)
    entries = list(Entry.objects.filter(call_id=call.id).order_by("id"))
    assert [each.kind for each in entries] == ["admission", "original", "segment", "original", "close"]
    assert list(broken()) == []
    out = StringIO()
    call_command("audit_verify", stdout=out)
    record = reader.call_read(call)
    assert record.chain_ok and record.problems == ()


@pytest.mark.django_db(transaction=True)
def test_one_whose_reader_has_left_goes_on_record_alone_and_is_marked_as_a_part(
    recorder: Recorder, public: PublicKey
) -> None:
    number = ids.new()
    part = SealedOriginal(
        "response", public.name, len(REPLY), public.seal(number, "response", REPLY), partial=True
    )

    async def ask() -> None:
        await recorder.admit(asks(call_id=number))
        await recorder.segment(number, ANSWER)
        await recorder.keep(number, part)
        recorder.close(number, DONE)

    run(ask())
    recorder.stop(5)
    kinds = Entry.objects.filter(call_id=number).order_by("id").values_list("kind", flat=True)
    assert list(kinds) == ["admission", "segment", "original", "close"]
    assert list(broken()) == []
    (shown,) = looked(Call.objects.get(id=number))
    assert (shown.of, shown.data, shown.partial) == ("response", REPLY, True)


@pytest.mark.django_db(transaction=True)
def test_of_a_call_that_is_closed_none_is_taken_any_more(recorder: Recorder, public: PublicKey) -> None:
    number = ids.new()

    async def ask() -> None:
        await recorder.admit(asks(call_id=number))
        recorder.close(number, DONE)
        with pytest.raises(StoreUnavailable):
            await recorder.keep(number, sealed(public, number, "response", REPLY))

    run(ask())
    recorder.stop(5)
    assert not Original.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_call_without_one_is_recorded_as_before(recorder: Recorder) -> None:
    admission = asks()
    run(recorder.refuse(admission, DONE))
    recorder.stop(5)
    assert not Original.objects.exists()
    call = Call.objects.get(id=admission.call_id)
    assert not originals.has_originals(call)


@pytest.mark.django_db(transaction=True)
def test_who_was_allowed_sees_both(recorder: Recorder, public: PublicKey) -> None:
    call = kept(recorder, public)
    assert [(each.of, each.data) for each in looked(call)] == [("request", CANARY), ("response", REPLY)]
    told = [*named("original.allowed"), *named("original.revealed")]
    assert len(told) == 2 and not any(b"4111 1111" in each for each in told)


@pytest.mark.django_db(transaction=True)
def test_nobody_else_and_not_later(recorder: Recorder, public: PublicKey) -> None:
    call = kept(recorder, public)
    reveal = allowed(call)
    for by, now in ((DAVE, ids.now()), (CAROL, ids.now() + originals.LASTS)):
        with pytest.raises(PermissionError):
            originals.originals_open(call, reveal, by, now)
    assert named("original.revealed") == []


@pytest.mark.django_db(transaction=True)
def test_the_value_is_nowhere_in_the_store_nor_behind_its_keys(recorder: Recorder, public: PublicKey) -> None:
    """Not in any row, and not in what the keys of AUDIT_KEY_DIR open: unsealed and decompressed."""
    call = kept(recorder, public)
    assert looked(call)[0].data == CANARY
    found = "\n".join(everything())
    assert "4111 1111" not in found and b"4111 1111".hex() not in found
    cipher, _ = reader.cipher_of(call)
    assert cipher is not None
    for entry in Entry.objects.filter(call_id=call.id).exclude(payload_digest=b""):
        row = (Original if entry.kind == "original" else Payload).objects.get(id=entry.id)
        place = crypto.payload_place(call.id.bytes, entry.sequence, entry.kind)
        plain = crypto.unseal(cipher, bytes(row.sealed), place)
        if entry.kind != "original":
            plain = b"".join(crypto.unpack(plain))
        assert b"4111 1111" not in plain


def everything() -> Iterator[str]:
    """Every value of every table, bytes as hexadecimal digits."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in cursor.fetchall():
                for value in row:
                    yield bytes(value).hex() if isinstance(value, bytes | memoryview) else str(value)


@pytest.mark.django_db(transaction=True)
def test_the_database_changes_none_and_lets_retention_take_them(
    recorder: Recorder, public: PublicKey
) -> None:
    call = kept(recorder, public)
    reveal = allowed(call)
    for change in (
        lambda: Original.objects.update(sealed=b"x"),
        lambda: Reveal.objects.update(until=ids.now() + timedelta(days=1)),
        lambda: reveal.delete(),
    ):
        with pytest.raises(Error), transaction.atomic():
            change()
    assert originals.originals_delete([call.id, ids.new()]) == 2
    assert [each.problem[:13] for each in looked(call)] == ["It was erased"] * 2
    record = reader.call_read(call)
    assert record.chain_ok and record.problems == ()


@pytest.mark.django_db(transaction=True)
def test_erasing_a_call_erases_its_originals(recorder: Recorder, public: PublicKey) -> None:
    call = kept(recorder, public)
    CallKey.objects.filter(id=call.id).delete()
    assert all("erased" in each.problem and not each.data for each in looked(call))


@pytest.mark.django_db(transaction=True)
def test_one_that_is_damaged_is_not_shown(recorder: Recorder, public: PublicKey) -> None:
    call = kept(recorder, public)
    first = Original.objects.filter(call_id=call.id).earliest("id")
    place, data = first.id, bytes(first.sealed)
    first.delete()
    Original(id=place, started_at=call.started_at, call_id=call.id, sealed=data[:-1] + b"!").save(
        force_insert=True
    )
    shown = looked(call)
    assert "damaged" in shown[0].problem and shown[1].data == REPLY
    with pytest.raises(CommandError):
        call_command("audit_verify", stdout=StringIO(), stderr=StringIO())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("state", ["unset", "gone", "cut short"])
def test_without_the_private_key_the_reason_is_told(
    recorder: Recorder, public: PublicKey, settings: Any, state: str
) -> None:
    call = kept(recorder, public)
    path = Path(settings.AUDIT_ORIGINALS_KEY_DIR) / f"{public.name}.key"
    if state == "unset":
        settings.AUDIT_ORIGINALS_KEY_DIR = ""
    elif state == "gone":
        path.unlink()
    else:
        path.write_bytes(b"short")
    shown = looked(call)
    assert all(f"private key {public.name}" in each.problem for each in shown)
    assert named("original.revealed") == []


@pytest.mark.django_db
def test_one_person_is_not_two_in_the_store_either() -> None:
    number = ids.new()
    call = Call(id=number, area="", endpoint="")
    with pytest.raises(Error), transaction.atomic():
        originals.reveal_make(call=call, person_id=DAVE.person_id or uuid4(), by=DAVE, proposal_id=uuid4())


# --- the key ------------------------------------------------------------------------------------------
def test_a_pair_is_made_where_the_gateways_are_not(tmp_path: Path, settings: Any) -> None:
    settings.AUDIT_KEY_DIR = tmp_path / "keys"
    with pytest.raises(CommandError, match="AUDIT_KEY_DIR"):
        call_command("originals_key", str(tmp_path / "keys" / "more"))
    out: Any = StringIO()
    call_command("originals_key", str(tmp_path / "apart"), stdout=out, stderr=StringIO())
    told = re.fullmatch(r"AUDIT_ORIGINALS_KEY=(\S+)\n", out.getvalue())
    assert told is not None
    public = PublicKey.read(told[1])
    (path,) = (tmp_path / "apart").iterdir()
    assert path.name == f"{public.name}.key" and path.stat().st_mode & 0o777 == 0o600
    private = X25519PrivateKey.from_private_bytes(path.read_bytes())
    assert private.public_key().public_bytes_raw() == public.raw
