"""The search finds a canary that was left behind, in each kind of place and in each form, and says where."""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import random
import sqlite3
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import redis as redis_client
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit import crypto
from audit.keys import KeyDirectory
from tests.services import redis

from .canaries import Canary, Hit, Searcher, forms, hatch
from .canary_forms import ECHOES, echoes_of, without_echo
from .canary_places import Listener, columns, disk, holds_the_schema, kept_in_redis, unsealed
from .canary_waits import said_by_syslog, told_of
from .hammer_house import wait_for
from .hammer_oracle import Reader

CANARIES = hatch(random.Random(7), "test")
MAIL = next(each for each in CANARIES if each.name.endswith(" mail"))
SECRET = MAIL.text.encode()


def found(*places: tuple[str, list[bytes]]) -> list[Hit]:
    return Searcher(CANARIES).search(places)


@pytest.mark.parametrize("canary", CANARIES, ids=lambda each: each.name)
def test_every_form_is_found_among_other_bytes_and_is_only_its_own(canary: Canary) -> None:
    for form, name in forms(canary).items():
        for text in (form, form.swapcase()):
            hits = found(("here", [b"\0\xff " + text + b" \xff\0"]))
            assert (canary.name, "here") in {(hit.canary, hit.place) for hit in hits}, name
            assert {hit.canary for hit in hits} == {canary.name}


@pytest.mark.parametrize("canary", CANARIES, ids=lambda each: each.name)
@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"abc"])
def test_base64_is_found_wherever_the_value_begins_in_it(canary: Canary, before: bytes) -> None:
    whole = base64.b64encode(before + canary.text.encode() + b" after")
    assert {hit.canary for hit in found(("here", [whole]))} == {canary.name}


def test_what_only_looks_like_it_is_not_found() -> None:
    noise = random.Random(3).randbytes(2_000_000)
    digits = " ".join(str(random.Random(4).getrandbits(60)) for _ in range(10_000)).encode()
    assert found(("noise", [noise]), ("digits", [digits]), ("hex", [noise.hex().encode()])) == []


def test_a_cut_off_key_and_a_stream_s_pieces_are_found() -> None:
    key = next(each for each in CANARIES if each.name.endswith(" openai key"))
    assert {hit.form for hit in found(("log", [key.text[:24].encode()]))} == {"its beginning"}
    deltas = [{"choices": [{"delta": {"content": char}}]} for char in MAIL.text]
    events = "".join(f"data: {json.dumps(each)}\n\n" for each in deltas).encode()
    hits = found(("segment", [events]))
    assert {hit.canary for hit in hits} == {MAIL.name} and all(hit.form.endswith("in pieces") for hit in hits)


def test_what_is_packed_is_unpacked() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("calls.jsonl", SECRET * 3)
    zstd = zstandard.ZstdCompressor().compress(SECRET * 9)
    hits = found(("export", [packed.getvalue()]), ("zstd", [zstd]), ("gzip", [gzip.compress(SECRET * 9)]))
    assert {hit.place for hit in hits} == {"export", "zstd", "gzip"}
    assert any("calls.jsonl" in hit.form for hit in hits)


def test_a_row_is_found_by_table_and_column(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store'}"
    with sqlite3.connect(tmp_path / "store") as store:
        store.execute("CREATE TABLE t (a TEXT, b BLOB, c INTEGER)")
        store.execute("INSERT INTO t VALUES ('x', ?, 1), (?, x'00', 2)", (SECRET, json.dumps([MAIL.text])))
    reader = Reader(url)
    hits = found(*((f"{table}.{column}", values) for table, column, values in columns(reader)))
    reader.close()
    assert {hit.place for hit in hits} == {"t.a", "t.b"}


def test_a_sealed_payload_is_opened(tmp_path: Path) -> None:
    url = sealed_store(tmp_path)
    reader = Reader(url)
    assert found(*(("as it lies there", values) for _, _, values in columns(reader))) == []
    hits = found(("an unsealed payload", list(unsealed(reader, tmp_path / "keys", "payload"))))
    reader.close()
    assert {(hit.canary, hit.place) for hit in hits} == {(MAIL.name, "an unsealed payload")}


def sealed_store(root: Path) -> str:
    """A store of one payload, as the recorder seals it."""
    directory = KeyDirectory.make(root / "keys")
    around, call, noise, key = (
        directory.day("payload", datetime.now(UTC)),
        uuid4(),
        crypto.Noise(),
        bytes(range(32)),
    )
    wrapped = crypto.seal(AESGCM(around.key), key, crypto.key_place(call.bytes, around.id), noise)
    (packed,) = crypto.Packer().pack([(b"[]", SECRET * 200)])
    sealed = crypto.seal(AESGCM(key), packed, crypto.payload_place(call.bytes, 1, "admission"), noise)
    with sqlite3.connect(root / "store") as store:
        store.execute("CREATE TABLE audit_payload (id, sealed)")
        store.execute("CREATE TABLE audit_entry (id, call_id, sequence, kind)")
        store.execute("CREATE TABLE audit_callkey (id, wrapped_by, wrapped)")
        store.execute("INSERT INTO audit_payload VALUES (1, ?)", (sealed,))
        store.execute("INSERT INTO audit_entry VALUES (1, ?, 1, 'admission')", (call.hex,))
        store.execute("INSERT INTO audit_callkey VALUES (?, ?, ?)", (call.hex, around.id, wrapped))
    return f"sqlite:///{root / 'store'}"


def test_a_log_line_a_checkpoint_and_a_broker_s_message_are_found_by_file(tmp_path: Path) -> None:
    message = base64.b64encode(json.dumps({"body": MAIL.text}).encode())
    for name, text in (
        ("serve.log", b"WARNING " + SECRET),
        ("checkpoints/1-1", SECRET),
        ("broker/m", message),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text)
    assert {hit.place for hit in Searcher(CANARIES).search(disk(tmp_path))} == {
        "file serve.log",
        "file checkpoints/1-1",
        "file broker/m",
    }


def test_redis_is_read_by_key_by_value_of_every_type_and_by_command() -> None:
    with redis() as url:
        listener, client = Listener(url), redis_client.Redis.from_url(url)
        client.set(MAIL.text, "x")
        client.set("string", SECRET)
        client.rpush("list", SECRET)
        client.sadd("set", SECRET)
        client.zadd("zset", {SECRET: 1})
        client.hset("hash", "name", SECRET)
        client.xadd("stream", {"name": SECRET})
        client.publish("gone", SECRET)
        hits = Searcher(CANARIES).search(kept_in_redis(url))
        expected = {"string", "list", "set", "zset", "hash", "stream", MAIL.text}
        assert {hit.place for hit in hits} == {f"Redis {name}" for name in expected}
        assert wait_for(lambda: any(b"PUBLISH" in each for each in listener.heard), seconds=5)
        heard = [each for each in listener.heard if b"PUBLISH" in each]
        listener.close()
        client.close()
    assert found(("commands to Redis", heard))


PAGE = """<form><input name="reason" value="{}"><textarea name="calls" rows="4">
{}</textarea><input type="hidden" name="selection" value="{}"></form><p>{}</p>"""


@pytest.mark.parametrize(
    ("typed", "shown", "gone"),
    [
        ({"reason": MAIL.text}, (MAIL.text, "", "", ""), True),
        ({"calls": f" {MAIL.text}\n"}, ("", MAIL.text, "", ""), True),
        ({"reason": MAIL.text + " more"}, (MAIL.text, "", "", ""), True),  # cut off to what a field holds
        ({"reason": MAIL.text}, ("", "", html.escape(json.dumps({"model": MAIL.text})), ""), True),
        ({"reason": "other"}, (MAIL.text, "", "", ""), False),  # somebody else typed it, or at another time
        ({"reason": MAIL.text}, ("", MAIL.text, "", ""), False),  # another field
        ({"reason": MAIL.text}, (MAIL.text, "", "", MAIL.text), False),  # beside the fields
        ({"reason": MAIL.text}, (f"{MAIL.text} {MAIL.text}", "", "", ""), False),
        ({"reason": "other"}, ("", "", html.escape(json.dumps({"model": MAIL.text})), ""), False),
        ({}, (MAIL.text, "", "", ""), False),
    ],
)
def test_a_form_gives_back_what_was_sent_in_its_own_fields_and_nothing_else(
    typed: dict[str, str], shown: tuple[str, ...], gone: bool
) -> None:
    names = ("reason", "calls", "selection")
    page = without_echo(PAGE.format(*shown), names, typed)
    assert (not found(("page", [page.encode()]))) is gone


PASTED = """<textarea name="payload">x</textarea><section aria-labelledby="pasted-head">
<h2>As pasted</h2><p>see <mark title="Mail">{}</mark> there</p></section>
<section aria-labelledby="sent-head"><p>{}</p></section>"""


@pytest.mark.parametrize(
    ("typed", "pasted", "sent", "gone"),
    [
        (f"see {MAIL.text} there", MAIL.text, "***", True),
        (f"see {MAIL.text} there", MAIL.text, MAIL.text, False),
        ("see nothing there", MAIL.text, "***", False),
    ],
)
def test_a_payload_is_shown_once_as_it_was_pasted(typed: str, pasted: str, sent: str, gone: bool) -> None:
    page = without_echo(PASTED.format(pasted, sent), ("payload",), {"payload": typed})
    assert (not found(("page", [page.encode()]))) is gone


def test_a_field_that_is_not_named_is_not_emptied() -> None:
    page = PAGE.format(MAIL.text, "", "", "")
    assert found(("page", [without_echo(page, ("calls",), {"reason": MAIL.text}).encode()]))


def test_each_page_says_its_own_fields() -> None:
    assert echoes_of(f"/audit/calls/{uuid4()}/original/ask/") == ("reason",)
    assert echoes_of("/audit/trace/") == () and echoes_of("/audit/search/x/") == ()
    assert not any({"value", "secret", "password", "url", "token"} & set(each) for each in ECHOES.values())


def test_syslog_s_pieces_are_put_together(tmp_path: Path) -> None:
    message = b"<109>1 2026-11-26T16:00:00.000Z here postern 1 event - \xef\xbb\xbf" + SECRET
    framed = b"%d %s" % (len(message), message)
    pieces = [framed[:70], framed[70:]]
    file = tmp_path / "siem"
    file.write_bytes(b"".join(b"1 %d\n%s" % (len(each), each) for each in pieces))
    assert SECRET not in file.read_bytes() and found(("syslog", said_by_syslog(file)))
    assert told_of(['{"sequence": 1, "stream": "a"}', b'[{"sequence": 2, "stream": "a"}]']) == {
        (1, "a"),
        (2, "a"),
    }


def test_a_listed_word_may_be_where_its_schema_is_and_nowhere_else() -> None:
    allowed = ("table policies_detector.value", "file postern.sqlite3-wal", "file cache/patterns/x")
    assert all(map(holds_the_schema, allowed))
    refused = (
        "table policies_proposal.reason",
        "file serve.log",
        "table audit_entry.meta",
        "page /proposals/",
    )
    assert not any(map(holds_the_schema, refused))
