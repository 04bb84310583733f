"""Ids, chain, seals, keys and the verifier: what needs no database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from audit import chain, crypto, ids, verifier
from audit.chain import Link
from audit.keynames import Period, day_name, period
from audit.keys import KeyDirectory, KeyMissing, KeysUnavailable

ROOT = Path(__file__).resolve().parents[2]
STREAM = UUID(int=7)
NOISE = crypto.Noise()
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@given(st.integers(0, (1 << 48) - 1), st.integers(0, (1 << 80) - 1))
def test_an_id_tells_its_time(milliseconds: int, noise: int) -> None:
    made = ids.uuid7(milliseconds, noise)
    assert made.version == 7 and made.variant == "specified in RFC 4122"
    assert ids.milliseconds_of(made) == milliseconds


def test_ids_are_in_order_of_time_and_never_the_same() -> None:
    assert ids.uuid7(5, (1 << 74) - 1) < ids.uuid7(6, 0)
    assert len({ids.new() for _ in range(1000)}) == 1000


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))
def test_microseconds_are_exact(when: datetime) -> None:
    exact = ids.microseconds(when.replace(tzinfo=UTC))
    assert exact % 1_000_000 == when.microsecond
    assert ids.microseconds(ids.moment(exact // 1000)) == exact - exact % 1000


# --- seals ------------------------------------------------------------------------------------------
@given(st.binary(max_size=5000), st.binary(max_size=500))
def test_a_payload_comes_back_as_it_was(data: bytes, marks: bytes) -> None:
    cipher, place = AESGCM(bytes(32)), crypto.payload_place(bytes(16), 9, "segment")
    sealed = crypto.seal(cipher, crypto.Packer().pack([(marks, data)])[0], place, NOISE)
    assert crypto.unpack(crypto.unseal(cipher, sealed, place)) == (marks, data)


PLACES = [
    crypto.payload_place(bytes(16), 1, "segment"),
    crypto.payload_place(bytes(16), 2, "segment"),
    crypto.payload_place(bytes(16), 1, "admission"),
    crypto.payload_place(bytes(15) + b"\x01", 1, "segment"),
]


def test_a_payload_opens_only_in_its_place() -> None:
    cipher = AESGCM(bytes(32))
    sealed = crypto.seal(cipher, b"text", PLACES[0], NOISE)
    for place in PLACES[1:]:
        with pytest.raises(crypto.SealError):
            crypto.unseal(cipher, sealed, place)


@given(st.integers(0), st.integers(1, 255))
def test_a_changed_payload_does_not_open(at: int, change: int) -> None:
    cipher = AESGCM(bytes(32))
    sealed = bytearray(crypto.seal(cipher, b"text", PLACES[0], NOISE))
    sealed[at % len(sealed)] ^= change
    with pytest.raises(crypto.SealError):
        crypto.unseal(cipher, bytes(sealed), PLACES[0])
    with pytest.raises(crypto.SealError):
        crypto.unseal(cipher, bytes(sealed[:20]), PLACES[0])


def test_keys_do_not_print() -> None:
    assert repr(crypto.DayKey("payload-2026-11-22", b"secret", 1)) == "DayKey(payload-2026-11-22)"


# --- keys -------------------------------------------------------------------------------------------
def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    first, second = KeyDirectory(tmp_path), KeyDirectory(tmp_path)
    day = first.day("payload", datetime(2026, 11, 22, 23, 59, tzinfo=UTC))
    assert (day.id, day.generation) == ("payload-2026-11-22", 1) and len(day.key) == 32
    assert second.find(day.id) == day.key
    assert first.lasting("requests") == second.lasting("requests") != first.lasting("sessions")
    assert first.check() == second.check()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_everybody_who_makes_a_key_at_once_gets_the_same(tmp_path: Path) -> None:
    directories = [KeyDirectory(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda directory: directory.lasting("requests"), directories))
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["requests.key"]


def test_a_missing_directory_is_not_made_in_silence(tmp_path: Path) -> None:
    with pytest.raises(KeysUnavailable, match="AUDIT_KEY_DIR"):
        KeyDirectory(tmp_path / "not mounted")
    assert KeyDirectory.make(tmp_path / "asked for").lasting("requests")


@pytest.mark.parametrize("name", ["../outside", "payload-2026-11/x", "", "Payload", "a" * 99])
def test_a_key_has_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyMissing):
        KeyDirectory(tmp_path).find(name)


def test_a_damaged_key_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "requests.key").write_bytes(b"short")
    with pytest.raises(KeysUnavailable, match="damaged"):
        KeyDirectory(tmp_path).lasting("requests")


def test_a_destroyed_key_is_missed(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing):
        KeyDirectory(tmp_path).find("payload-2020-01")


def test_a_key_that_was_destroyed_lives_on_in_no_process_that_had_read_it(tmp_path: Path) -> None:
    here, there = KeyDirectory(tmp_path), KeyDirectory(tmp_path)
    key = here.day("payload", NOON)
    linked = tmp_path / "another name of the file"
    os.link(tmp_path / f"{key.id}.key", linked)
    assert there.find(key.id) == key.key
    assert here.destroy(key.id) and not here.destroy(key.id)
    for each in (here, there):
        with pytest.raises(KeyMissing):
            each.find(key.id)
    assert linked.read_bytes() != key.key  # its blocks were overwritten
    anew = there.day("payload", NOON)
    assert anew.key != key.key
    assert here.find(key.id) == anew.key


def test_a_day_goes_on_with_its_newest_generation(tmp_path: Path) -> None:
    here, there = KeyDirectory(tmp_path), KeyDirectory(tmp_path)
    first = here.day("payload", NOON)
    second = here.generation("payload", NOON.date(), 2)
    assert second.id == "payload-2026-11-22-g2" and second.key != first.key
    assert there.day("payload", NOON) == second
    assert here.days("payload", NOON.date()) == [first, second]
    here.destroy(first.id)
    assert there.days("payload", NOON.date()) == [second]
    assert list(there.periods("payload")) == [second.id]


@pytest.mark.parametrize("name", ["requests", "store", "payload", "../x-2026-11-22"])
def test_a_lasting_key_is_never_destroyed(tmp_path: Path, name: str) -> None:
    keys = KeyDirectory(tmp_path)
    keys.lasting("requests")
    with pytest.raises(ValueError, match="not the key of a day"):
        keys.destroy(name)
    assert keys.lasting("requests")


@pytest.mark.parametrize(
    ("name", "first", "following", "generation"),
    [
        ("payload-2026-11-22", date(2026, 11, 22), date(2026, 11, 23), 1),
        ("payload-2026-12-31-g12", date(2026, 12, 31), date(2027, 1, 1), 12),
        ("payload-2026-12", date(2026, 12, 1), date(2027, 1, 1), 0),
    ],
)
def test_a_keys_name_says_what_it_is_for(name: str, first: date, following: date, generation: int) -> None:
    assert period(name) == Period("payload", first, following, generation)
    if generation:
        assert day_name("payload", first, generation) == name


@pytest.mark.parametrize("name", ["store", "payload-2026-02-30", "payload-2026-13", "payload-2026-11-22-g0"])
def test_other_names_are_for_no_period(name: str) -> None:
    assert period(name) is None


# --- chain ------------------------------------------------------------------------------------------
def links(count: int, stream: UUID = STREAM) -> list[Link]:
    """A whole stream."""
    made: list[Link] = []
    for sequence in range(1, count + 1):
        link = Link(
            stream=stream,
            sequence=sequence,
            previous=made[-1].digest if made else chain.GENESIS,
            digest=b"",
            id=chain.entry_id(3, sequence),
            call=UUID(int=sequence) if sequence % 2 else None,
            started_at=1_000 * sequence,
            at=1_000 * sequence + 7,
            kind=chain.KINDS[sequence % len(chain.KINDS)],
            payload_digest=bytes(32) if sequence % 2 else b"",
            meta=b'{"v":1}',
        )
        made.append(replace(link, digest=link.expected()))
    return made


CHANGES: dict[str, Callable[[Any], Any]] = {
    "stream": lambda value: UUID(int=value.int + 1),
    "sequence": lambda value: value + 1,
    "previous": lambda value: bytes(32) if value != bytes(32) else b"\x01" * 32,
    "digest": lambda value: bytes(32),
    "id": lambda value: value + (1 << chain.SEQUENCE_BITS),
    "call": lambda value: None if value else UUID(int=1),
    "started_at": lambda value: value + 1,
    "at": lambda value: value - 1,
    "kind": lambda value: "event" if value != "event" else "close",
    "payload_digest": lambda value: b"" if value else bytes(32),
    "meta": lambda value: value + b" ",
}


def test_a_whole_stream_has_no_problems() -> None:
    assert list(verifier.problems(links(12))) == []
    assert list(verifier.problems([*links(3), *links(3, UUID(int=8))])) == []


@pytest.mark.parametrize("field", CHANGES)
@given(at=st.integers(0, 6))
def test_a_change_of_any_field_is_found(field: str, at: int) -> None:
    stream = links(7)
    stream[at] = replace(stream[at], **{field: CHANGES[field](getattr(stream[at], field))})
    assert list(verifier.problems(stream))


@given(st.integers(0, 5), st.integers(0, 5))
def test_reordering_dropping_and_inserting_are_found(one: int, other: int) -> None:
    stream = links(7)
    if one != other:
        swapped = list(stream)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        assert list(verifier.problems(swapped))
    assert list(verifier.problems(stream[:one] + stream[one + 1 :]))
    assert list(verifier.problems([*stream[:one], stream[other], *stream[one:]]))


def test_every_field_of_an_entry_is_covered() -> None:
    assert set(CHANGES) == set(Link.__slots__)


@pytest.mark.parametrize("odd", [{"kind": "unheard of"}, {"at": 1 << 80}, {"payload_digest": bytes(33)}])
def test_values_that_no_entry_can_have_are_changes(odd: dict[str, Any]) -> None:
    stream = links(2)
    stream[1] = replace(stream[1], **odd)
    assert any("changed" in problem for problem in verifier.problems(stream))


# --- the verifier as a program ----------------------------------------------------------------------
def verify(export: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "audit.verifier", str(export)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_export_verifies_without_a_database(tmp_path: Path) -> None:
    export = tmp_path / "export.jsonl"
    export.write_text("\n".join(verifier.line(link) for link in links(20)))
    done = verify(export)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "20 entries, 0 problems")
    export.write_text("\n".join(verifier.line(link) for link in links(20) if link.sequence != 9))
    done = verify(export)
    assert done.returncode == 1 and "8 is followed by 10" in done.stdout


def test_an_export_line_comes_back_as_it_was() -> None:
    for link in links(4):
        assert verifier.parse(verifier.line(link)) == link


@pytest.mark.parametrize("text", ["{}", "[]", "null", "not json", '{"stream": 1}'])
def test_what_is_no_entry_is_no_entry(text: str) -> None:
    with pytest.raises(ValueError):
        verifier.parse(text)


def test_the_verifier_and_what_it_needs_import_no_framework() -> None:
    code = (
        "import sys, audit.verifier, audit.chain, audit.crypto;"
        "sys.exit(any(name in sys.modules for name in ('django', 'asyncio', 'aiohttp', 'httpx')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_verifier_prints_no_hostile_word_as_it_is(capsys: Any, tmp_path: Path) -> None:
    export = tmp_path / "export.jsonl"
    export.write_text(json.dumps({"stream": "\x1b[2J\u202egnp\ud800"}) + "\n", encoding="ascii")
    assert verifier.main([str(export)]) == 2
    assert "\x1b" not in capsys.readouterr().out
    export.write_text('{"stream":"00000000-0000-0000-0000-000000000001","sequence":Infinity}\n')
    assert verifier.main([str(export)]) == 2
